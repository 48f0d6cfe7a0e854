jobs AS j INDEXED BY jobs_by_time
WHERE j.tenant = :tenant
