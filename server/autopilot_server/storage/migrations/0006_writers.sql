-- Several processes write: each has its own newest committed batch, which tells whether a COMMIT that failed was carried
-- out.
DROP TABLE last_batch;
CREATE TABLE writers (
    writer TEXT PRIMARY KEY,
    batch INTEGER NOT NULL
) WITHOUT ROWID;

-- How far the wall clock and the one that nobody steps are apart in the frame that the stored times are of. Whoever
-- first finds that the wall clock was stepped shifts the spans, for all.
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    apart INTEGER NOT NULL
);
INSERT INTO clock (id, apart) VALUES (1, 0);
