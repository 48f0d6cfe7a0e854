INSERT INTO resume_requests (job_id, request_id, request_digest)
VALUES (:job_id, :request_id, :request_digest)
