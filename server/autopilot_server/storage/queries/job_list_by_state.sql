jobs AS j INDEXED BY jobs_by_state
WHERE j.state = :state
