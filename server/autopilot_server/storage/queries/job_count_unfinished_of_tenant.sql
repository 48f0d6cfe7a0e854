-- Counts no further than asked.
SELECT count(*) FROM (
    SELECT 1 FROM jobs INDEXED BY jobs_unfinished_by_tenant
    WHERE tenant = :tenant AND state IN (1, 2, 3, 4) LIMIT :limit
) AS found
