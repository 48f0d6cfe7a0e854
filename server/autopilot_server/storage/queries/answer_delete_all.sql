DELETE FROM answers WHERE job_id = :job_id
