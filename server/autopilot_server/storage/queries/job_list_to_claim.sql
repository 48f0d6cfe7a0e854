SELECT * FROM jobs INDEXED BY jobs_to_claim
WHERE state = 1 AND priority = :priority AND ready_time <= :now
    AND workflow IN (SELECT value FROM json_each(:workflows))
    AND (:apart IS NULL OR :apart = (
        workflow IN (SELECT value FROM json_each(:isolated))
        OR (losses >= :suspect_losses AND checkpoints = checkpoints_at_loss)
    ))
ORDER BY ready_time, job_id
LIMIT :limit
