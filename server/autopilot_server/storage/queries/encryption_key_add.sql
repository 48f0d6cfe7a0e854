INSERT INTO encryption_keys (key_id, seals) VALUES (:key_id, 0) ON CONFLICT (key_id) DO NOTHING
