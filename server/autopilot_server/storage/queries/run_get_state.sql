SELECT state FROM jobs WHERE job_id = :job_id AND run_token = :run_token
