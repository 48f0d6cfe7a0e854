UPDATE jobs SET held = 1 - held WHERE job_id = :job_id
