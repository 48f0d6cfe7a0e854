-- The first of each lane, from its own place in the index, and of those the first of all. Those that others are at, they
-- or others with their key, are passed over and not waited for: the next look finds them.
WITH lanes AS (
    SELECT value ->> 0 AS workflow, (value ->> 1)::integer AS suspect FROM json_array_elements(:lanes::json) AS l (value)
), first AS MATERIALIZED (
    SELECT c.* FROM lanes CROSS JOIN LATERAL (
        SELECT * FROM jobs
        WHERE state = 1 AND held = 0 AND priority = :priority AND ready_time <= :now
            AND workflow = lanes.workflow AND suspect = lanes.suspect
        ORDER BY ready_time, job_id
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS c
    ORDER BY c.ready_time, c.job_id
    LIMIT :limit
)
SELECT * FROM first
WHERE CASE WHEN concurrency_key = '' THEN true ELSE
    pg_try_advisory_xact_lock_shared(hashtextextended(chr(29), 0))
    AND pg_try_advisory_xact_lock(hashtextextended(workflow || chr(31) || concurrency_key, 0))
END
ORDER BY ready_time, job_id
