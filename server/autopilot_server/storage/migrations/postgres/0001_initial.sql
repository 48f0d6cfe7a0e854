-- What the migrations of SQLite have made until 0008, for Postgres. Times and spans are microseconds.
--
-- Text is ordered by its bytes, as SQLite orders it. What clients and workflows wrote is kept as bytes: in UTF-8, or
-- encrypted, and a text of Postgres could have no NUL.

-- How many of the migrations were applied.
CREATE TABLE autopilot_schema (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
);

CREATE TABLE jobs (
    job_id TEXT COLLATE "C" PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    workflow TEXT COLLATE "C" NOT NULL,
    thread_id TEXT COLLATE "C" NOT NULL,
    labels TEXT NOT NULL,
    priority INTEGER NOT NULL,
    scheduled_time BIGINT,
    execution_timeout BIGINT,
    max_attempts INTEGER NOT NULL,
    initial_backoff BIGINT NOT NULL,
    max_backoff BIGINT NOT NULL,
    backoff_multiplier DOUBLE PRECISION NOT NULL,
    fork_job_id TEXT COLLATE "C",
    fork_checkpoint_id TEXT COLLATE "C",
    retention BIGINT,
    interrupt_before TEXT NOT NULL,
    interrupt_after TEXT NOT NULL,
    step_limit INTEGER,
    request_id TEXT COLLATE "C" NOT NULL,
    request_digest BYTEA NOT NULL,
    concurrency_key TEXT COLLATE "C" NOT NULL,
    trace TEXT NOT NULL,                 -- where the job belongs in traces, see jobs/traces.py
    create_time BIGINT NOT NULL,

    -- What changes.
    state INTEGER NOT NULL,
    version BIGINT NOT NULL,             -- with create_time the etag
    latest_sequence BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    progress BYTEA NOT NULL,
    checkpoint_id TEXT COLLATE "C" NOT NULL,
    checkpoints BIGINT NOT NULL,         -- how many were put, in all namespaces
    next_steps TEXT NOT NULL,
    workflow_revision TEXT COLLATE "C" NOT NULL,
    attempt INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL,
    losses INTEGER NOT NULL,             -- of the worker, in a row without a new checkpoint
    checkpoints_at_loss BIGINT NOT NULL,
    error BYTEA,
    questions INTEGER NOT NULL,          -- how many rows the job has in interrupts
    cancel_reason BYTEA NOT NULL,
    start_time BIGINT,
    end_time BIGINT,
    expire_time BIGINT,
    ready_time BIGINT NOT NULL,          -- when a PENDING job may be claimed
    next_attempt_time BIGINT,
    start_point BYTEA,
    passed_breakpoint TEXT COLLATE "C" NOT NULL,
    held INTEGER NOT NULL,               -- 1: not the turn of a PENDING job, because of its key
    -- One loss can come from another job in the same process, or from an operator. After a second one it may be the job.
    suspect INTEGER NOT NULL
        GENERATED ALWAYS AS (CASE WHEN losses >= 2 AND checkpoints = checkpoints_at_loss THEN 1 ELSE 0 END) STORED,

    -- Of the run that owns the job, in RUNNING and CANCELLING only.
    run_token TEXT COLLATE "C",
    worker_id TEXT COLLATE "C",
    claim_time BIGINT,
    deadline BIGINT,
    elapsed BIGINT NOT NULL,             -- of all earlier attempts
    budget_spent BIGINT NOT NULL         -- of the execution timeout, by earlier attempts since the last Resume
)
-- Rows are written at each step: room for their next versions on the same page, without touching the indexes.
WITH (fillfactor = 70);

CREATE INDEX jobs_by_time ON jobs (tenant, create_time, job_id);
CREATE INDEX jobs_newest ON jobs (create_time);
CREATE INDEX jobs_by_state ON jobs (tenant, state, create_time, job_id);
CREATE INDEX jobs_by_workflow ON jobs (tenant, workflow, state, create_time, job_id);
CREATE INDEX jobs_by_thread ON jobs (thread_id, create_time, job_id);
CREATE INDEX jobs_unfinished_by_tenant ON jobs (tenant) WHERE state IN (1, 2, 3, 4);
CREATE UNIQUE INDEX jobs_unfinished_by_thread ON jobs (thread_id) WHERE state IN (1, 2, 3, 4);
CREATE UNIQUE INDEX jobs_by_request ON jobs (request_id) WHERE request_id <> '';
CREATE INDEX jobs_to_claim ON jobs (priority, workflow, suspect, ready_time, job_id) WHERE state = 1 AND held = 0;
CREATE INDEX jobs_by_readiness ON jobs (workflow, suspect, ready_time) WHERE state = 1 AND held = 0;
CREATE INDEX jobs_owned ON jobs (workflow, concurrency_key, job_id) WHERE run_token IS NOT NULL;
CREATE INDEX jobs_by_deadline ON jobs (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX jobs_by_expiry ON jobs (expire_time) WHERE expire_time IS NOT NULL;
-- Those that wait with a key: all, by their order, and whose turn it is.
CREATE INDEX jobs_by_key ON jobs (workflow, concurrency_key, priority, ready_time, job_id)
    WHERE state = 1 AND concurrency_key <> '';
CREATE INDEX jobs_first_of_key ON jobs (workflow, concurrency_key)
    WHERE state = 1 AND held = 0 AND concurrency_key <> '';

-- Apart from the row, which is written at each step.
CREATE TABLE payloads (
    job_id TEXT COLLATE "C" PRIMARY KEY,
    input BYTEA,
    context BYTEA,
    output BYTEA
);

CREATE TABLE labels (
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    job_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key, value, create_time, job_id)
);

CREATE TABLE events (
    job_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    body BYTEA NOT NULL,
    has_payload BOOLEAN NOT NULL,
    PRIMARY KEY (job_id, sequence)
);

CREATE TABLE interrupts (
    job_id TEXT COLLATE "C" NOT NULL,
    position INTEGER NOT NULL,
    interrupt_id TEXT COLLATE "C" NOT NULL,
    step TEXT NOT NULL,
    step_run_id TEXT NOT NULL,
    question BYTEA,                      -- NULL: omitted
    value_bytes BIGINT NOT NULL,
    response_schema BYTEA,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (job_id, position)
);

CREATE TABLE answers (
    job_id TEXT COLLATE "C" NOT NULL,
    interrupt_id TEXT COLLATE "C" NOT NULL,
    answer BYTEA NOT NULL,
    PRIMARY KEY (job_id, interrupt_id)
);

CREATE TABLE resume_requests (
    job_id TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    request_digest BYTEA NOT NULL,
    PRIMARY KEY (job_id, request_id)
);

CREATE TABLE workflows (
    name TEXT COLLATE "C" PRIMARY KEY,
    descriptor TEXT NOT NULL
);

-- Of the workflows that have limits. Apart from their descriptors: each claim reads it.
CREATE TABLE concurrency_limits (
    workflow TEXT COLLATE "C" PRIMARY KEY,
    jobs INTEGER,                        -- NULL: any number
    per_key INTEGER
);

CREATE TABLE workflow_statistics (
    name TEXT COLLATE "C" NOT NULL,
    revision TEXT COLLATE "C" NOT NULL,
    jobs BIGINT NOT NULL,
    mean_steps DOUBLE PRECISION NOT NULL,
    mean_elapsed DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (name, revision)
);

-- Of each process that writes its newest committed batch, which tells whether a COMMIT that failed was carried out.
CREATE TABLE writers (
    writer TEXT COLLATE "C" PRIMARY KEY,
    batch BIGINT NOT NULL,
    start_time TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- How far the wall clock and the one that nobody steps are apart in the frame that the stored times are of. Whoever
-- first finds that the wall clock was stepped shifts the spans, for all.
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    apart BIGINT NOT NULL
);
INSERT INTO clock (id, apart) VALUES (1, 0);

CREATE TABLE secrets (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);
-- 32 bytes, of which 244 bits are random.
INSERT INTO secrets (name, value)
VALUES ('page_tokens', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- The keys that content of this database is encrypted with, by their ids, and which of them encrypts what is new.
CREATE TABLE encryption_keys (
    key_id TEXT COLLATE "C" PRIMARY KEY,
    seals INTEGER NOT NULL
);

CREATE TABLE checkpoints (
    thread_id TEXT COLLATE "C" NOT NULL,
    checkpoint_ns TEXT COLLATE "C" NOT NULL,
    checkpoint_id TEXT COLLATE "C" NOT NULL,
    parent_checkpoint_id TEXT COLLATE "C",
    type TEXT,
    checkpoint BYTEA,
    metadata BYTEA,
    job_id TEXT COLLATE "C",
    superstep BIGINT,
    source TEXT,
    next_steps TEXT,
    create_time BIGINT,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);
CREATE INDEX checkpoints_by_job ON checkpoints (job_id, checkpoint_ns, checkpoint_id) WHERE job_id IS NOT NULL;

CREATE TABLE writes (
    thread_id TEXT COLLATE "C" NOT NULL,
    checkpoint_ns TEXT COLLATE "C" NOT NULL,
    checkpoint_id TEXT COLLATE "C" NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    task_path TEXT COLLATE "C" NOT NULL,
    idx INTEGER NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    type TEXT,
    value BYTEA,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);
