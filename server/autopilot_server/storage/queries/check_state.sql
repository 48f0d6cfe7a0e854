-- A run token stands in the row while a run owns the job (RUNNING, CANCELLING), the times of the end while it is
-- finished (SUCCEEDED, FAILED, CANCELLED).
SELECT job_id AS subject, 'state ' || state || CASE WHEN run_token IS NULL THEN ' without' ELSE ' with' END
    || ' a run, ' || CASE WHEN end_time IS NULL THEN 'not ended' ELSE 'ended' END AS detail
FROM jobs
WHERE state NOT BETWEEN 1 AND 7
    OR (state IN (2, 4)) <> (run_token IS NOT NULL)
    OR (state IN (5, 6, 7)) <> (end_time IS NOT NULL)
    OR (end_time IS NULL) <> (expire_time IS NULL)
