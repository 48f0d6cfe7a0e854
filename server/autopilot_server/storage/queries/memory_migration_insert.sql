INSERT INTO store_migrations (v) VALUES (:version)
