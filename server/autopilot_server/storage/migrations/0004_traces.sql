-- Where a job belongs in traces, as JSON. See jobs/traces.py.
ALTER TABLE jobs ADD COLUMN trace TEXT NOT NULL DEFAULT '["","","","","",""]';
