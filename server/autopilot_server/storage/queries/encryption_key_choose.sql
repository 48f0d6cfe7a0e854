UPDATE encryption_keys SET seals = CASE WHEN key_id = :key_id THEN 1 ELSE 0 END
