DELETE FROM encryption_keys WHERE key_id <> :key_id
