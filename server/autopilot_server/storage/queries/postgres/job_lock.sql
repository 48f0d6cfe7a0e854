-- Before the row its key, if it has one: whoever gives turns with a key writes to the rows of others with it.
WITH found AS MATERIALIZED (
    SELECT job_id,
        CASE WHEN concurrency_key <> '' THEN pg_advisory_xact_lock_shared(hashtextextended(chr(29), 0)) END AS all_turns,
        CASE WHEN concurrency_key <> '' THEN
            pg_advisory_xact_lock(hashtextextended(workflow || chr(31) || concurrency_key, 0))
        END AS turn
    FROM jobs WHERE job_id = :job_id
)
SELECT j.* FROM found JOIN jobs AS j ON j.job_id = found.job_id FOR UPDATE OF j
