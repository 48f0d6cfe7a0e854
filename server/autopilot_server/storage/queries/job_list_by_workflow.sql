jobs AS j INDEXED BY jobs_by_workflow
WHERE j.workflow = :workflow AND j.state = :state
