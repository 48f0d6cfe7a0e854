-- Of processes that are gone, as far as can be told: one that comes back asks for its batch, and is not told of it.
DELETE FROM writers WHERE start_time < now() - interval '30 days'
