SELECT 1 FROM checkpoints
WHERE job_id = :job_id AND checkpoint_ns = '' AND checkpoint_id = :checkpoint_id
