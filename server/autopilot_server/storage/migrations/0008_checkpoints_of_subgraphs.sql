-- A job's checkpoints in all namespaces, found without looking at those of other jobs on its thread.
DROP INDEX checkpoints_by_job;
CREATE INDEX checkpoints_by_job ON checkpoints (job_id, checkpoint_ns, checkpoint_id) WHERE job_id IS NOT NULL;
