jobs AS j INDEXED BY jobs_by_state
WHERE j.tenant = :tenant AND j.state = :state
