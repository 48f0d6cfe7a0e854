jobs AS j
WHERE j.thread_id = :thread_id AND (:state::integer IS NULL OR j.state = :state::integer)
