UPDATE jobs SET deadline = :deadline WHERE job_id = :job_id AND run_token IS NOT NULL
