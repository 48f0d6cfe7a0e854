INSERT INTO writers (writer, batch) VALUES (:writer, :batch)
ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch
