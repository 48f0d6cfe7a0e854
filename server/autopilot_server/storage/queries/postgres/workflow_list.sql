SELECT descriptor FROM workflows
WHERE name > :after
    AND (
        :patterns::text IS NULL OR EXISTS (
            SELECT 1 FROM json_array_elements_text(:patterns::json) AS p (value)
            WHERE name LIKE replace(replace(replace(p.value, '_', '\_'), '*', '%'), '?', '_')
        )
    )
ORDER BY name
LIMIT :limit
