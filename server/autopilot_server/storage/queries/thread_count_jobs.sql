SELECT count(*) FROM jobs WHERE thread_id = :thread_id
