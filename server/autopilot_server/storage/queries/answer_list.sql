SELECT job_id, interrupt_id, answer FROM answers WHERE job_id = :job_id ORDER BY interrupt_id
