SELECT 1 FROM jobs WHERE thread_id = :thread_id LIMIT 1
