SELECT max(v) FROM store_migrations
