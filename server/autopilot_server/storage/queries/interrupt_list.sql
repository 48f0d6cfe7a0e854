SELECT * FROM interrupts WHERE job_id = :job_id ORDER BY position
