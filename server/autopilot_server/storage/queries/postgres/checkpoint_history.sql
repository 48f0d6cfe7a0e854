SELECT thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
FROM checkpoints
WHERE thread_id = :thread_id AND (:checkpoint_ns::text IS NULL OR checkpoint_ns = :checkpoint_ns::text)
    AND (:before::text IS NULL OR checkpoint_id < :before::text)
ORDER BY checkpoint_id DESC
LIMIT :limit
