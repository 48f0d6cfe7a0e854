-- Jobs of one workflow, and of one key, run so many at once as the workflow's limits say. See storage/turns.py.
ALTER TABLE jobs ADD COLUMN concurrency_key TEXT NOT NULL DEFAULT '';
-- 1: not the turn of a PENDING job, because of its key.
ALTER TABLE jobs ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
-- One loss can come from another job in the same process, or from an operator. After a second one it may be the job.
ALTER TABLE jobs ADD COLUMN suspect INTEGER AS (losses >= 2 AND checkpoints = checkpoints_at_loss);

-- Of the workflows that have limits. Apart from their descriptors: each claim reads it.
CREATE TABLE concurrency_limits (
    workflow TEXT PRIMARY KEY,
    jobs INTEGER,                        -- NULL: any number
    per_key INTEGER
) WITHOUT ROWID;

DROP INDEX jobs_to_claim;
DROP INDEX jobs_by_readiness;
DROP INDEX jobs_owned;
CREATE INDEX jobs_to_claim ON jobs (priority, workflow, suspect, ready_time, job_id) WHERE state = 1 AND held = 0;
CREATE INDEX jobs_by_readiness ON jobs (workflow, suspect, ready_time) WHERE state = 1 AND held = 0;
CREATE INDEX jobs_owned ON jobs (workflow, concurrency_key, job_id) WHERE run_token IS NOT NULL;
-- Those that wait with a key: all, by their order, and whose turn it is.
CREATE INDEX jobs_by_key ON jobs (workflow, concurrency_key, priority, ready_time, job_id)
    WHERE state = 1 AND concurrency_key <> '';
CREATE INDEX jobs_first_of_key ON jobs (workflow, concurrency_key)
    WHERE state = 1 AND held = 0 AND concurrency_key <> '';
