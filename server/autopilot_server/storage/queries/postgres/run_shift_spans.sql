-- update_time: until when a run that dies is taken to have run.
UPDATE jobs SET
    claim_time = claim_time + :step::bigint,
    deadline = deadline + :step::bigint,
    update_time = least(update_time, :now::bigint)
WHERE run_token IS NOT NULL
