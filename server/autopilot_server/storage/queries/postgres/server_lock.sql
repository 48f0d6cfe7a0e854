-- Of the session. The number is nobody's but ours: "autopil\0" in ASCII.
SELECT pg_try_advisory_lock(7022647215930305536) AS is_taken
