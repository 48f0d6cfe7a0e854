SELECT descriptor FROM workflows WHERE name > :after ORDER BY name LIMIT :limit
