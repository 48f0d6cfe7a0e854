SELECT checkpoint_id FROM checkpoints
WHERE job_id = :job_id AND checkpoint_ns = :checkpoint_ns
ORDER BY checkpoint_id DESC
LIMIT 1 OFFSET :newer
