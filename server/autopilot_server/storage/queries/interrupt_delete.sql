DELETE FROM interrupts WHERE job_id = :job_id
