SELECT job_id FROM jobs WHERE thread_id = :thread_id AND state IN (1, 2, 3, 4)
