DELETE FROM labels
WHERE key = :key AND value = :value AND create_time = :create_time AND job_id = :job_id
