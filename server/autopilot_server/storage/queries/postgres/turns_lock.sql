-- Of all keys: nobody else gives turns, or claims a job with a key.
SELECT pg_advisory_xact_lock(hashtextextended(chr(29), 0))
