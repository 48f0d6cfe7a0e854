-- Of the PENDING jobs with a key the first of each priority. NULL: none has that priority.
SELECT (
    SELECT job_id FROM jobs INDEXED BY jobs_by_key
    WHERE state = 1 AND concurrency_key <> '' AND workflow = :workflow AND concurrency_key = :concurrency_key
        AND priority = p.value
    ORDER BY ready_time, job_id
    LIMIT 1
) AS job_id
FROM json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]') AS p
