DELETE FROM answers WHERE job_id = :job_id AND interrupt_id = :interrupt_id
