SELECT * FROM jobs INDEXED BY jobs_to_claim
WHERE state = 1 AND priority = :priority AND ready_time <= :now
    AND workflow IN (SELECT value FROM json_each(:workflows))
ORDER BY ready_time, job_id
LIMIT :limit
