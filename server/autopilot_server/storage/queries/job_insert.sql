INSERT INTO jobs (
    job_id, tenant, workflow, thread_id, labels, priority, scheduled_time, execution_timeout, max_attempts,
    initial_backoff, max_backoff, backoff_multiplier, fork_job_id, fork_checkpoint_id, retention,
    interrupt_before, interrupt_after, step_limit, request_id, request_digest, create_time, state,
    version, latest_sequence, update_time, progress, checkpoint_id, checkpoints, next_steps,
    workflow_revision, attempt, failed_attempts, losses, checkpoints_at_loss, error, questions,
    cancel_reason, start_time, end_time, expire_time, ready_time, next_attempt_time, start_point,
    passed_breakpoint, run_token, worker_id, claim_time, deadline, elapsed, budget_spent, trace,
    concurrency_key, held
)
VALUES (
    :job_id, :tenant, :workflow, :thread_id, :labels, :priority, :scheduled_time, :execution_timeout,
    :max_attempts, :initial_backoff, :max_backoff, :backoff_multiplier, :fork_job_id,
    :fork_checkpoint_id, :retention, :interrupt_before, :interrupt_after, :step_limit, :request_id,
    :request_digest, :create_time, :state, :version, :latest_sequence, :update_time, :progress,
    :checkpoint_id, :checkpoints, :next_steps, :workflow_revision, :attempt, :failed_attempts,
    :losses, :checkpoints_at_loss, :error, :questions, :cancel_reason, :start_time, :end_time,
    :expire_time, :ready_time, :next_attempt_time, :start_point, :passed_breakpoint, :run_token,
    :worker_id, :claim_time, :deadline, :elapsed, :budget_spent, :trace, :concurrency_key, :held
)
