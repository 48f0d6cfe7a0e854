SELECT * FROM jobs
WHERE run_token IS NOT NULL AND (:worker_id::text IS NULL OR worker_id = :worker_id::text)
ORDER BY job_id
