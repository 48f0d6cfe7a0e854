INSERT INTO checkpoints (
    thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata,
    job_id, superstep, source, next_steps, create_time
)
SELECT
    :to_thread::text, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata,
    :to_job::text, superstep, source, next_steps, create_time
FROM checkpoints
WHERE thread_id = :thread_id AND checkpoint_ns = :checkpoint_ns AND checkpoint_id = :checkpoint_id
