import * as client from "../src/index.js";

export function jobJson(job: client.Job): object {
  return {
    job_id: job.jobId,
    workflow: job.workflow,
    thread_id: job.threadId,
    state: job.state,
    labels: job.labels,
    priority: job.priority,
    ...valueJson("input", job.input),
    ...valueJson("output", job.output),
    error: jobErrorJson(job.error),
    interrupts: job.interrupts.map(interruptJson),
    attempt: job.attempt,
    max_attempts: job.maxAttempts,
    failed_attempts: job.failedAttempts,
    checkpoint_id: job.checkpointId,
    latest_sequence: job.latestSequence,
    next_steps: job.nextSteps,
    etag: job.etag,
    concurrency_key: job.concurrencyKey,
    deduplicated: job.deduplicated ?? null,
    create_time: seconds(job.createTime),
    end_time: seconds(job.endTime),
  };
}

export function valueJson(name: string, value: client.Value): object {
  if (value === undefined) return {};
  return { [name]: value instanceof client.Omitted ? { $omitted: value.sizeBytes } : value };
}

function seconds(time: Date | undefined): number | null {
  return time === undefined ? null : time.getTime() / 1000;
}

function jobErrorJson(error: client.JobError | undefined): object | null {
  if (error === undefined) return null;
  const { reason, message, step, exceptionType } = error;
  return { reason, message, step, exception_type: exceptionType };
}

function interruptJson(interrupt: client.Interrupt): object {
  return {
    interrupt_id: interrupt.interruptId,
    step: interrupt.step,
    ...valueJson("value", interrupt.value),
    response_schema: interrupt.responseSchema ?? null,
  };
}

export function checkpointJson(checkpoint: client.Checkpoint): object {
  return {
    checkpoint_id: checkpoint.checkpointId,
    parent_checkpoint_id: checkpoint.parentCheckpointId,
    superstep: checkpoint.superstep,
    source: checkpoint.source,
    next_steps: checkpoint.nextSteps,
    ...valueJson("values", checkpoint.values),
  };
}

export function workflowJson(workflow: client.Workflow): object {
  const { name, description, steps, inputSchema } = workflow;
  return {
    name,
    description,
    steps,
    input_schema: inputSchema ?? null,
    max_running_jobs: workflow.maxRunningJobs,
    max_running_jobs_per_key: workflow.maxRunningJobsPerKey,
  };
}

export function eventJson(event: client.JobEvent): object {
  const { sequence, attempt, kind } = event;
  return { sequence, attempt, fraction: event.progress.fraction, kind, ...fieldsJson(event) };
}

function fieldsJson(event: client.JobEvent): object {
  switch (event.kind) {
    case "StateChanged":
      return { from: event.from, to: event.to, error: jobErrorJson(event.error) };
    case "StepStarted":
      return { step: event.step, step_run_id: event.stepRunId };
    case "StepFinished":
      return { ...stepJson(event), ...valueJson("update", event.update) };
    case "StepFailed":
      return { ...stepJson(event), error: jobErrorJson(event.error) };
    case "InterruptRaised":
      return { interrupt: interruptJson(event.interrupt) };
    case "ProgressReported":
      return {
        step: event.step,
        message: event.message,
        step_fraction: event.fraction ?? null,
        ...valueJson("data", event.data),
        dropped: event.dropped,
      };
    case "CheckpointSaved":
      return { checkpoint_id: event.checkpointId, superstep: event.superstep, next_steps: event.nextSteps };
    case "TokenChunk":
      return { step: event.step, message_id: event.messageId, text: event.text };
    case "Unknown":
      return {};
  }
}

function stepJson(event: client.StepFinished | client.StepFailed): object {
  return { step: event.step, step_run_id: event.stepRunId, duration: event.durationMs / 1000 };
}

// --- errors ---

export function errorJson(error: unknown): object {
  if (error instanceof client.CallError) return callErrorJson(error);
  if (error instanceof client.JobEndedError) {
    return { kind: endKind(error), message: error.message, job: jobJson(error.job) };
  }
  if (error instanceof TypeError || error instanceof RangeError || error instanceof client.ClientClosedError) {
    return { kind: "usage", message: error.message };
  }
  throw error;
}

function callErrorJson(error: client.CallError): object {
  const { code, reason, message, metadata, violations, retryDelayMs } = error;
  if (error instanceof client.ServerUnreachableError) return { kind: "server_unreachable", code, message };
  if (error instanceof client.DeadlineExceededError) return { kind: "deadline_exceeded", code, message };
  return {
    kind: "call_failed",
    type: error.constructor.name,
    code,
    reason,
    message,
    metadata,
    violations,
    retry_delay: retryDelayMs === undefined ? null : retryDelayMs / 1000,
  };
}

function endKind(error: client.JobEndedError): string {
  if (error instanceof client.JobFailedError) return "job_failed";
  return error instanceof client.JobCancelledError ? "job_cancelled" : "job_interrupted";
}
