-- Checkpoints that stay with their thread when their job goes: another job may have its id one day.
UPDATE checkpoints SET job_id = NULL WHERE thread_id = :thread_id AND job_id = :job_id
