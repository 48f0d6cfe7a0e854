-- update_time: until when a run that dies is taken to have run.
UPDATE jobs SET
    claim_time = claim_time + :step,
    deadline = deadline + :step,
    update_time = min(update_time, :now)
WHERE run_token IS NOT NULL
