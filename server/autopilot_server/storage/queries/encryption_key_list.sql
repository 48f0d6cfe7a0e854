SELECT key_id, seals FROM encryption_keys ORDER BY key_id
