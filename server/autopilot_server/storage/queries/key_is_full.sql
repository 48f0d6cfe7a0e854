-- One row when as many jobs with a key run as may.
SELECT 1 FROM concurrency_limits AS l
WHERE l.workflow = :workflow AND l.per_key <= (
    SELECT count(*) FROM jobs INDEXED BY jobs_owned
    WHERE run_token IS NOT NULL AND workflow = :workflow AND concurrency_key = :concurrency_key
)
