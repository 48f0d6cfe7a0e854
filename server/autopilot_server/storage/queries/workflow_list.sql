SELECT descriptor FROM workflows
WHERE name > :after
    AND (:patterns IS NULL OR EXISTS (SELECT 1 FROM json_each(:patterns) AS p WHERE name GLOB p.value))
ORDER BY name
LIMIT :limit
