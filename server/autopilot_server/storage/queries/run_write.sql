-- The fence, the places in the log and what the run tells of itself, at once.
UPDATE jobs
SET
    latest_sequence = latest_sequence + :events,
    progress = coalesce(:progress, progress),
    checkpoint_id = coalesce(:checkpoint_id, checkpoint_id),
    next_steps = coalesce(:next_steps, next_steps),
    checkpoints = checkpoints + :checkpoints,
    start_point = CASE WHEN :ends_start_point = 1 THEN NULL ELSE start_point END,
    questions = CASE WHEN :ends_start_point = 1 THEN 0 ELSE questions END,
    -- Part of the etag, which changes with the questions.
    version = version + :ends_start_point,
    update_time = :now
WHERE job_id = :job_id AND run_token = :run_token
RETURNING job_id, create_time, latest_sequence, state, checkpoint_id
