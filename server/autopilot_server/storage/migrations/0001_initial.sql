-- Times and spans are microseconds. JSON columns hold JSON text.

CREATE TABLE jobs (
    job_id TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    labels TEXT NOT NULL,
    priority INTEGER NOT NULL,
    scheduled_time INTEGER,
    execution_timeout INTEGER,
    max_attempts INTEGER NOT NULL,
    initial_backoff INTEGER NOT NULL,
    max_backoff INTEGER NOT NULL,
    backoff_multiplier REAL NOT NULL,
    fork_job_id TEXT,
    fork_checkpoint_id TEXT,
    retention INTEGER,
    interrupt_before TEXT NOT NULL,
    interrupt_after TEXT NOT NULL,
    step_limit INTEGER,
    request_id TEXT NOT NULL,
    request_digest BLOB NOT NULL,
    create_time INTEGER NOT NULL,

    -- What changes.
    state INTEGER NOT NULL,
    version INTEGER NOT NULL,            -- with create_time the etag
    latest_sequence INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    progress TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    checkpoints INTEGER NOT NULL,        -- how many were put, in all namespaces
    next_steps TEXT NOT NULL,
    workflow_revision TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL,
    losses INTEGER NOT NULL,             -- of the worker, in a row without a new checkpoint
    checkpoints_at_loss INTEGER NOT NULL,
    error TEXT,
    questions INTEGER NOT NULL,          -- how many rows the job has in interrupts
    cancel_reason TEXT NOT NULL,
    start_time INTEGER,
    end_time INTEGER,
    expire_time INTEGER,
    ready_time INTEGER NOT NULL,         -- when a PENDING job may be claimed
    next_attempt_time INTEGER,
    start_point TEXT,
    passed_breakpoint TEXT NOT NULL,

    -- Of the run that owns the job, in RUNNING and CANCELLING only.
    run_token TEXT,
    worker_id TEXT,
    claim_time INTEGER,
    deadline INTEGER,
    elapsed INTEGER NOT NULL,            -- of all earlier attempts
    budget_spent INTEGER NOT NULL        -- of the execution timeout, by earlier attempts since the last Resume
);

CREATE INDEX jobs_by_time ON jobs (create_time, job_id);
CREATE INDEX jobs_by_state ON jobs (state, create_time, job_id);
CREATE INDEX jobs_by_workflow ON jobs (workflow, state, create_time, job_id);
CREATE INDEX jobs_by_thread ON jobs (thread_id, create_time, job_id);
CREATE UNIQUE INDEX jobs_unfinished_by_thread ON jobs (thread_id) WHERE state IN (1, 2, 3, 4);
CREATE UNIQUE INDEX jobs_by_request ON jobs (request_id) WHERE request_id <> '';
CREATE INDEX jobs_to_claim ON jobs (priority, ready_time, job_id) WHERE state = 1;
CREATE INDEX jobs_by_readiness ON jobs (ready_time) WHERE state = 1;
CREATE INDEX jobs_by_deadline ON jobs (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX jobs_by_expiry ON jobs (expire_time) WHERE expire_time IS NOT NULL;
CREATE INDEX jobs_owned ON jobs (job_id) WHERE run_token IS NOT NULL;

-- Apart from the row, which is written at each step.
CREATE TABLE payloads (
    job_id TEXT PRIMARY KEY,
    input TEXT,
    context TEXT,
    output TEXT
);

CREATE TABLE labels (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    PRIMARY KEY (key, value, create_time, job_id)
) WITHOUT ROWID;

CREATE TABLE events (
    job_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    body BLOB NOT NULL,
    has_payload INTEGER NOT NULL,
    PRIMARY KEY (job_id, sequence)
) WITHOUT ROWID;

CREATE TABLE interrupts (
    job_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    interrupt_id TEXT NOT NULL,
    step TEXT NOT NULL,
    step_run_id TEXT NOT NULL,
    value TEXT,                          -- NULL: omitted
    value_bytes INTEGER NOT NULL,
    response_schema TEXT,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (job_id, position)
) WITHOUT ROWID;

CREATE TABLE answers (
    job_id TEXT NOT NULL,
    interrupt_id TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (job_id, interrupt_id)
) WITHOUT ROWID;

CREATE TABLE resume_requests (
    job_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    request_digest BLOB NOT NULL,
    PRIMARY KEY (job_id, request_id)
) WITHOUT ROWID;

CREATE TABLE workflows (
    name TEXT PRIMARY KEY,
    descriptor TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE workflow_statistics (
    name TEXT NOT NULL,
    revision TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    mean_steps REAL NOT NULL,
    mean_elapsed REAL NOT NULL,
    PRIMARY KEY (name, revision)
) WITHOUT ROWID;

-- The newest committed batch of the writer: tells whether a COMMIT that failed was carried out.
CREATE TABLE last_batch (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    batch INTEGER NOT NULL
);
INSERT INTO last_batch (id, batch) VALUES (1, 0);

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO secrets (name, value) VALUES ('page_tokens', randomblob(32));

-- The tables of langgraph-checkpoint-sqlite, with columns of our own at the end: its SqliteSaver reads and writes them.
CREATE TABLE checkpoints (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL DEFAULT '',
    checkpoint_id TEXT NOT NULL,
    parent_checkpoint_id TEXT,
    type TEXT,
    checkpoint BLOB,
    metadata BLOB,
    job_id TEXT,
    superstep INTEGER,
    source TEXT,
    next_steps TEXT,
    create_time INTEGER,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);
CREATE INDEX checkpoints_by_job ON checkpoints (job_id, checkpoint_id) WHERE job_id IS NOT NULL AND checkpoint_ns = '';

CREATE TABLE writes (
    thread_id TEXT NOT NULL,
    checkpoint_ns TEXT NOT NULL DEFAULT '',
    checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    task_path TEXT NOT NULL DEFAULT '',
    idx INTEGER NOT NULL,
    channel TEXT NOT NULL,
    type TEXT,
    value BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);
