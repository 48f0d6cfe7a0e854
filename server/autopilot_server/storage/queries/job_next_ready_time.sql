SELECT ready_time FROM jobs INDEXED BY jobs_by_readiness
WHERE state = 1 AND workflow IN (SELECT value FROM json_each(:workflows))
    AND (:apart IS NULL OR :apart = (
        workflow IN (SELECT value FROM json_each(:isolated))
        OR (losses >= :suspect_losses AND checkpoints = checkpoints_at_loss)
    ))
ORDER BY ready_time
LIMIT 1
