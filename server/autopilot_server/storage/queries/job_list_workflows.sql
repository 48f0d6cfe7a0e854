-- The workflows that a tenant has jobs of and that a pattern matches: one step in the index for each.
WITH RECURSIVE found (name) AS (
    SELECT min(workflow) FROM jobs INDEXED BY jobs_by_workflow WHERE tenant = :tenant
    UNION ALL
    SELECT (
        SELECT min(j.workflow) FROM jobs AS j INDEXED BY jobs_by_workflow
        WHERE j.tenant = :tenant AND j.workflow > found.name
    ) FROM found WHERE name IS NOT NULL
)
SELECT name FROM found
WHERE name IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(:patterns) AS p WHERE found.name GLOB p.value)
