-- The checkpoints of a job that are older than the oldest one that it keeps in a namespace: those of that namespace, and
-- those of the subgraphs inside it. A subgraph that keeps its state (no ':' in the rest of its namespace) keeps the one
-- that was its newest then.
SELECT c.checkpoint_ns, c.checkpoint_id FROM checkpoints AS c
WHERE c.job_id = :job_id AND c.checkpoint_ns >= :checkpoint_ns::text AND c.checkpoint_ns <= :last_inside::text
    AND c.checkpoint_id < :oldest_kept::text AND c.checkpoint_id > :newer_than::text
    AND (c.checkpoint_ns = :checkpoint_ns::text OR starts_with(c.checkpoint_ns, :inside::text))
    AND NOT (
        c.checkpoint_ns <> :checkpoint_ns::text
        AND strpos(substr(c.checkpoint_ns, length(:inside::text) + 1), ':') = 0
        AND c.checkpoint_id = (
            SELECT max(n.checkpoint_id) FROM checkpoints AS n
            WHERE n.job_id = c.job_id AND n.checkpoint_ns = c.checkpoint_ns AND n.checkpoint_id < :oldest_kept::text
        )
    )
LIMIT :most
