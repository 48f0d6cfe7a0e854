DELETE FROM resume_requests WHERE job_id = :job_id
