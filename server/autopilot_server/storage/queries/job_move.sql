-- The one statement that changes a job's state.
UPDATE jobs
SET
    state = :state, version = :version, latest_sequence = :latest_sequence,
    update_time = :update_time, progress = :progress, checkpoint_id = :checkpoint_id,
    checkpoints = :checkpoints, next_steps = :next_steps, workflow_revision = :workflow_revision,
    attempt = :attempt, failed_attempts = :failed_attempts, losses = :losses,
    checkpoints_at_loss = :checkpoints_at_loss, error = :error, questions = :questions,
    cancel_reason = :cancel_reason, start_time = :start_time, end_time = :end_time,
    expire_time = :expire_time, ready_time = :ready_time, next_attempt_time = :next_attempt_time,
    start_point = :start_point, passed_breakpoint = :passed_breakpoint, run_token = :run_token,
    worker_id = :worker_id, claim_time = :claim_time, deadline = :deadline, elapsed = :elapsed,
    budget_spent = :budget_spent, trace = :trace
WHERE job_id = :job_id AND state = :from_state AND version = :from_version
