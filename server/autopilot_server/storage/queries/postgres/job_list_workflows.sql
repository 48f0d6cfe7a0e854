-- The workflows that a tenant has jobs of and that a pattern matches: one step in the index for each.
WITH RECURSIVE found (name) AS (
    SELECT min(workflow) FROM jobs WHERE tenant = :tenant
    UNION ALL
    SELECT (
        SELECT min(j.workflow) FROM jobs AS j WHERE j.tenant = :tenant AND j.workflow > found.name
    ) FROM found WHERE name IS NOT NULL
)
SELECT name FROM found
WHERE name IS NOT NULL AND EXISTS (
    SELECT 1 FROM json_array_elements_text(:patterns::json) AS p (value)
    WHERE found.name LIKE replace(replace(replace(p.value, '_', '\_'), '*', '%'), '?', '_')
)
