-- One process after the other migrates. The number is nobody's but ours: "autopilo" in ASCII.
SELECT pg_advisory_xact_lock(7022647215930305647)
