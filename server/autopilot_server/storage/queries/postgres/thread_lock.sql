SELECT pg_advisory_xact_lock(hashtextextended(chr(30) || :thread_id::text, 0))
