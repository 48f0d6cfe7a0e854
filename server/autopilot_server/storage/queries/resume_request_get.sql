SELECT job_id, request_id, request_digest FROM resume_requests WHERE job_id = :job_id AND request_id = :request_id
