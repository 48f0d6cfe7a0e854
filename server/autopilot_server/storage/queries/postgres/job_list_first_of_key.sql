-- Of the PENDING jobs with a key the first of each priority. NULL: none has that priority.
SELECT (
    SELECT job_id FROM jobs
    WHERE state = 1 AND concurrency_key <> '' AND workflow = :workflow AND concurrency_key = :concurrency_key
        AND priority = p.value
    ORDER BY ready_time, job_id
    LIMIT 1
) AS job_id
FROM generate_series(0, 9) AS p (value)
