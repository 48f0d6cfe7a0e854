-- The keys that content of this database is encrypted with, by their ids, and which of them encrypts what is new.
CREATE TABLE encryption_keys (
    key_id TEXT PRIMARY KEY,
    seals INTEGER NOT NULL
) WITHOUT ROWID;
