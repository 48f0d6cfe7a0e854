SELECT batch FROM writers WHERE writer = :writer
