-- update_time: until when a run that dies is taken to have run. ready_time: where the job stands in the queue, should it
-- be given back.
UPDATE jobs SET
    claim_time = claim_time + :step,
    deadline = deadline + :step,
    update_time = min(update_time, :now),
    ready_time = min(ready_time + :step, :now)
WHERE run_token IS NOT NULL
