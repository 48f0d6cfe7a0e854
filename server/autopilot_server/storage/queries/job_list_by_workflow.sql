jobs AS j INDEXED BY jobs_by_workflow
WHERE j.tenant = :tenant AND j.workflow = :workflow AND j.state = :state
