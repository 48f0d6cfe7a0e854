-- Of one key, while nobody gives all turns.
SELECT pg_advisory_xact_lock_shared(hashtextextended(chr(29), 0)),
    pg_advisory_xact_lock(hashtextextended(:workflow::text || chr(31) || :concurrency_key::text, 0))
