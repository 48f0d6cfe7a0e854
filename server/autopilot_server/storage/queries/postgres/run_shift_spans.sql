-- update_time: until when a run that dies is taken to have run. ready_time: where the job stands in the queue, should it
-- be given back.
UPDATE jobs SET
    claim_time = claim_time + :step::bigint,
    deadline = deadline + :step::bigint,
    update_time = least(update_time, :now::bigint),
    ready_time = least(ready_time + :step::bigint, :now::bigint)
WHERE run_token IS NOT NULL
