SELECT count(*) FROM checkpoints WHERE thread_id = :thread_id
