INSERT INTO concurrency_limits (workflow, jobs, per_key) VALUES (:workflow, :jobs, :per_key)
