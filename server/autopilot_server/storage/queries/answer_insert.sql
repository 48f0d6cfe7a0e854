INSERT OR REPLACE INTO answers (job_id, interrupt_id, answer) VALUES (:job_id, :interrupt_id, :answer)
