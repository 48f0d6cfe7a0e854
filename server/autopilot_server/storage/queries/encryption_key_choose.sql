UPDATE encryption_keys SET seals = (key_id = :key_id)
