-- PENDING jobs with a key whose row says otherwise than it should whether it is their turn: that of the first of each
-- priority, while fewer with the key run than may.
SELECT j.job_id AS subject, iif(j.held, 'is held back, and it is its turn', 'is not held back, and it is not its turn')
    AS detail
FROM jobs AS j INDEXED BY jobs_by_key LEFT JOIN concurrency_limits AS l ON l.workflow = j.workflow
WHERE j.state = 1 AND j.concurrency_key <> '' AND j.held <> (
    EXISTS (
        SELECT 1 FROM jobs AS before INDEXED BY jobs_by_key
        WHERE before.state = 1 AND before.concurrency_key <> '' AND before.workflow = j.workflow
            AND before.concurrency_key = j.concurrency_key AND before.priority = j.priority
            AND (before.ready_time, before.job_id) < (j.ready_time, j.job_id)
    )
    OR l.per_key IS NOT NULL AND l.per_key <= (
        SELECT count(*) FROM jobs AS running INDEXED BY jobs_owned
        WHERE running.run_token IS NOT NULL AND running.workflow = j.workflow
            AND running.concurrency_key = j.concurrency_key
    )
)
