DELETE FROM writes WHERE thread_id = :thread_id
