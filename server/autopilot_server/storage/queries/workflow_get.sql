SELECT descriptor FROM workflows WHERE name = :name
