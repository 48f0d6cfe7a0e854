-- Waits for a COMMIT that the server is still carrying out for a connection that is gone.
SELECT batch FROM writers WHERE writer = :writer FOR UPDATE
