INSERT INTO events (job_id, sequence, body, has_payload) VALUES (:job_id, :sequence, :body, :has_payload)
