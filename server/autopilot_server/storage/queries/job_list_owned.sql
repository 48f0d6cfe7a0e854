SELECT * FROM jobs
WHERE run_token IS NOT NULL AND (:worker_id IS NULL OR worker_id = :worker_id)
ORDER BY job_id
