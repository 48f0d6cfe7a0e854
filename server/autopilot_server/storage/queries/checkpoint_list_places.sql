SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata
FROM checkpoints
WHERE thread_id = :thread_id
