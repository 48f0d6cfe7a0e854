-- Whose a job is. Ids are scoped by it (jobs/tenants.py), lists and counts are read from indexes that begin with it.
ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT '';

DROP INDEX jobs_by_time;
DROP INDEX jobs_by_state;
DROP INDEX jobs_by_workflow;
CREATE INDEX jobs_by_time ON jobs (tenant, create_time, job_id);
CREATE INDEX jobs_by_state ON jobs (tenant, state, create_time, job_id);
CREATE INDEX jobs_by_workflow ON jobs (tenant, workflow, state, create_time, job_id);
CREATE INDEX jobs_unfinished_by_tenant ON jobs (tenant) WHERE state IN (1, 2, 3, 4);
