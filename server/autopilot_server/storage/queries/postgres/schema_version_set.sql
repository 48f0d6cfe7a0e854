INSERT INTO autopilot_schema (id, version) VALUES (1, :version)
ON CONFLICT (id) DO UPDATE SET version = excluded.version
