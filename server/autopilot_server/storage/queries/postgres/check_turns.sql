-- PENDING jobs with a key whose row says otherwise than it should whether it is their turn: that of the first of each
-- priority, while fewer with the key run than may.
SELECT j.job_id AS subject,
    CASE WHEN j.held = 1 THEN 'is held back, and it is its turn' ELSE 'is not held back, and it is not its turn' END
    AS detail
FROM jobs AS j LEFT JOIN concurrency_limits AS l ON l.workflow = j.workflow
WHERE j.state = 1 AND j.concurrency_key <> '' AND (j.held = 1) <> (
    EXISTS (
        SELECT 1 FROM jobs AS before
        WHERE before.state = 1 AND before.concurrency_key <> '' AND before.workflow = j.workflow
            AND before.concurrency_key = j.concurrency_key AND before.priority = j.priority
            AND (before.ready_time, before.job_id) < (j.ready_time, j.job_id)
    )
    OR l.per_key IS NOT NULL AND l.per_key <= (
        SELECT count(*) FROM jobs AS running
        WHERE running.run_token IS NOT NULL AND running.workflow = j.workflow
            AND running.concurrency_key = j.concurrency_key
    )
)
