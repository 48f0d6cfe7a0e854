-- The greatest priority below one that any PENDING job has: one step in the index.
SELECT max(priority) FROM jobs INDEXED BY jobs_to_claim WHERE state = 1 AND held = 0 AND priority < :below
