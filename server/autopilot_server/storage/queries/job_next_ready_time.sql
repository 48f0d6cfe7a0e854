SELECT ready_time FROM jobs INDEXED BY jobs_by_readiness
WHERE state = 1 AND workflow IN (SELECT value FROM json_each(:workflows))
ORDER BY ready_time
LIMIT 1
