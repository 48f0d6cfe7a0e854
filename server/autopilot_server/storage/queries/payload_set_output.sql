UPDATE payloads SET output = :output WHERE job_id = :job_id
