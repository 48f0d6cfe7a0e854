INSERT OR IGNORE INTO encryption_keys (key_id, seals) VALUES (:key_id, 0)
