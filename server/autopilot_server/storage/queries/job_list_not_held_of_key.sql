SELECT job_id FROM jobs INDEXED BY jobs_first_of_key
WHERE state = 1 AND held = 0 AND concurrency_key <> '' AND workflow = :workflow
    AND concurrency_key = :concurrency_key
