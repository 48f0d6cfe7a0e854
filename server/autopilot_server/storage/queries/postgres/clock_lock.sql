-- While a batch writes, nobody takes the stored times along into another frame.
SELECT pg_advisory_xact_lock_shared(hashtextextended(chr(28), 0))
