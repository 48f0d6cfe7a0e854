-- The workflows that have PENDING jobs: one step in the index for each.
WITH RECURSIVE found (name) AS (
    SELECT min(workflow) FROM jobs INDEXED BY jobs_by_readiness WHERE state = 1 AND held = 0
    UNION ALL
    SELECT (
        SELECT min(j.workflow) FROM jobs AS j INDEXED BY jobs_by_readiness
        WHERE j.state = 1 AND j.held = 0 AND j.workflow > found.name
    ) FROM found WHERE name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL
