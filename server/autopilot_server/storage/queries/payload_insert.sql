INSERT INTO payloads (job_id, input, context) VALUES (:job_id, :input, :context)
