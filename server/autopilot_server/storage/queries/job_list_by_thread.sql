jobs AS j INDEXED BY jobs_by_thread
WHERE j.thread_id = :thread_id AND (:state IS NULL OR j.state = :state)
