SELECT checkpoint_id, parent_checkpoint_id, superstep, source, next_steps, create_time
FROM checkpoints
WHERE job_id = :job_id AND checkpoint_ns = '' AND (:before::text IS NULL OR checkpoint_id < :before::text)
ORDER BY checkpoint_id DESC
LIMIT :limit
