INSERT INTO checkpoints (
    thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata,
    job_id, superstep, source, next_steps, create_time
)
VALUES (
    :thread_id, :checkpoint_ns, :checkpoint_id, :parent_checkpoint_id, :type, :checkpoint, :metadata,
    :job_id, :superstep, :source, :next_steps, :create_time
)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE SET
    parent_checkpoint_id = excluded.parent_checkpoint_id, type = excluded.type, checkpoint = excluded.checkpoint,
    metadata = excluded.metadata, job_id = excluded.job_id, superstep = excluded.superstep,
    source = excluded.source, next_steps = excluded.next_steps, create_time = excluded.create_time
