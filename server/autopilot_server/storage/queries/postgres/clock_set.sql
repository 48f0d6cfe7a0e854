-- Once no batch writes that began in the frame before.
WITH nobody_writes AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended(chr(28), 0)))
UPDATE clock SET apart = :apart FROM nobody_writes
