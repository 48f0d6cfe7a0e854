INSERT INTO answers (job_id, interrupt_id, answer) VALUES (:job_id, :interrupt_id, :answer)
ON CONFLICT (job_id, interrupt_id) DO UPDATE SET answer = excluded.answer
