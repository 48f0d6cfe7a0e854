SELECT job_id, sequence, body, has_payload FROM events
WHERE job_id = :job_id AND sequence > :after
ORDER BY sequence
LIMIT :limit
