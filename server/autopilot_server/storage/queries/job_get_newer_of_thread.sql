SELECT job_id FROM jobs
WHERE thread_id = :thread_id AND create_time > :create_time
ORDER BY create_time DESC
LIMIT 1
