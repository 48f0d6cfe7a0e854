SELECT min(ready_time) FROM jobs INDEXED BY jobs_by_readiness WHERE state = 1
