-- Jobs whose newest checkpoint is not there: they could not go on.
SELECT job_id AS subject, 'checkpoint ' || checkpoint_id AS detail
FROM jobs AS j
WHERE checkpoint_id <> '' AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c
    WHERE c.thread_id = j.thread_id AND c.checkpoint_ns = '' AND c.checkpoint_id = j.checkpoint_id
)
