-- The checkpoints of a job that are older than its newest one. A subgraph that keeps its state (no ':' in its
-- namespace) keeps its own newest one too.
SELECT c.checkpoint_ns, c.checkpoint_id FROM checkpoints AS c
WHERE c.thread_id = :thread_id AND c.job_id = :job_id AND c.checkpoint_id < :newest
    AND NOT (
        c.checkpoint_ns <> '' AND instr(c.checkpoint_ns, ':') = 0
        AND c.checkpoint_id = (
            SELECT max(n.checkpoint_id) FROM checkpoints AS n
            WHERE n.thread_id = c.thread_id AND n.checkpoint_ns = c.checkpoint_ns AND n.job_id = c.job_id
        )
    )
