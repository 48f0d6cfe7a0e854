import { durationMs, timestampDate, type Duration, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { CheckpointSaved, JobEvent, ProgressReported, StepFailed, StepFinished } from "./event.js";
import type * as pb from "./generated/autopilot/v1/job_pb.js";
import { JOB_STATES, type Checkpoint, type Interrupt, type Job, type JobError, type JobState } from "./job.js";
import type { Progress, Workflow } from "./job.js";
import { valueOf } from "./value.js";

export function jobOf(message: pb.Job | undefined, deduplicated?: boolean): Job {
  if (message === undefined) throw new Error("the server answered without a job");
  return {
    jobId: message.jobId,
    workflow: message.workflow,
    threadId: message.threadId,
    state: stateOf(message.state),
    labels: message.labels,
    priority: message.priority,
    input: valueOf(message.input),
    output: valueOf(message.output),
    error: jobErrorOf(message.error),
    interrupts: message.interrupts.map(interruptOf),
    progress: progressOf(message.progress),
    attempt: message.attempt,
    maxAttempts: message.maxAttempts,
    failedAttempts: message.failedAttempts,
    checkpointId: message.checkpointId,
    latestSequence: Number(message.latestSequence),
    nextSteps: message.nextSteps,
    createTime: timeOf(message.createTime),
    scheduledTime: timeOf(message.scheduledTime),
    startTime: timeOf(message.startTime),
    updateTime: timeOf(message.updateTime),
    endTime: timeOf(message.endTime),
    expireTime: timeOf(message.expireTime),
    nextAttemptTime: timeOf(message.nextAttemptTime),
    etag: message.etag,
    workflowRevision: message.workflowRevision,
    concurrencyKey: message.concurrencyKey,
    deduplicated,
  };
}

function stateOf(state: pb.JobState): JobState {
  return (JOB_STATES as readonly JobState[])[state] ?? "UNKNOWN";
}

function timeOf(message: Timestamp | undefined): Date | undefined {
  return message && timestampDate(message);
}

function spanOf(message: Duration | undefined): number {
  return message === undefined ? 0 : durationMs(message);
}

function jobErrorOf(message: pb.JobError | undefined): JobError | undefined {
  if (message === undefined) return undefined;
  const { reason, step, exceptionType, traceback } = message;
  return { reason, message: message.message, step, exceptionType, traceback };
}

function interruptOf(message: pb.Interrupt): Interrupt {
  return {
    interruptId: message.interruptId,
    step: message.step,
    value: valueOf(message.value),
    createTime: timeOf(message.createTime),
    responseSchema: message.responseSchema,
    stepRunId: message.stepRunId,
  };
}

function progressOf(message: pb.Progress | undefined): Progress {
  const remaining = message?.estimatedRemaining;
  return {
    fraction: message?.fraction ?? 0,
    activeSteps: message?.activeSteps ?? [],
    completedSteps: message?.completedSteps ?? 0,
    estimatedTotalSteps: message?.estimatedTotalSteps ?? 0,
    elapsedMs: spanOf(message?.elapsed),
    estimatedRemainingMs: remaining && durationMs(remaining),
    message: message?.message ?? "",
  };
}

export function checkpointOf(message: pb.Checkpoint): Checkpoint {
  return {
    checkpointId: message.checkpointId,
    parentCheckpointId: message.parentCheckpointId,
    superstep: message.superstep,
    source: message.source,
    nextSteps: message.nextSteps,
    createTime: timeOf(message.createTime),
    values: valueOf(message.values),
  };
}

export function workflowOf(message: pb.Workflow): Workflow {
  const { name, description, revision, inputSchema, outputSchema, steps, mermaid } = message;
  const { maxRunningJobs, maxRunningJobsPerKey } = message;
  const limits = { maxRunningJobs, maxRunningJobsPerKey };
  return { name, description, revision, inputSchema, outputSchema, steps, mermaid, ...limits };
}

// --- events ---

/** What an event has besides what all have. */
type Kind<Event> = Event extends JobEvent ? Omit<Event, "jobId" | "sequence" | "time" | "attempt" | "progress"> : never;

export function eventOf(message: pb.ProgressEvent): JobEvent {
  return {
    jobId: message.jobId,
    sequence: Number(message.sequence),
    time: timeOf(message.eventTime),
    attempt: message.attempt,
    progress: progressOf(message.progress),
    ...kindOf(message.kind),
  };
}

function kindOf({ case: kind, value }: pb.ProgressEvent["kind"]): Kind<JobEvent> {
  switch (kind) {
    case "stateChanged":
      return { kind: "StateChanged", from: stateOf(value.from), to: stateOf(value.to), error: jobErrorOf(value.error) };
    case "stepStarted":
      return { kind: "StepStarted", step: value.step, stepRunId: value.stepRunId };
    case "stepFinished":
      return stepFinishedOf(value);
    case "stepFailed":
      return stepFailedOf(value);
    case "interruptRaised":
      return value.interrupt === undefined
        ? { kind: "Unknown" }
        : { kind: "InterruptRaised", interrupt: interruptOf(value.interrupt) };
    case "progressReported":
      return progressReportedOf(value);
    case "checkpointSaved":
      return checkpointSavedOf(value);
    case "tokenChunk":
      return { kind: "TokenChunk", step: value.step, messageId: value.messageId, text: value.text };
    default:
      return { kind: "Unknown" };
  }
}

function stepFinishedOf(message: pb.StepFinished): Kind<StepFinished> {
  const { step, stepRunId } = message;
  return {
    kind: "StepFinished",
    step,
    stepRunId,
    update: valueOf(message.update),
    durationMs: spanOf(message.duration),
  };
}

function stepFailedOf(message: pb.StepFailed): Kind<StepFailed> {
  const { step, stepRunId } = message;
  return {
    kind: "StepFailed",
    step,
    stepRunId,
    error: jobErrorOf(message.error),
    durationMs: spanOf(message.duration),
  };
}

function progressReportedOf(message: pb.ProgressReported): Kind<ProgressReported> {
  const { step, fraction, dropped } = message;
  return { kind: "ProgressReported", step, message: message.message, fraction, data: valueOf(message.data), dropped };
}

function checkpointSavedOf(message: pb.CheckpointSaved): Kind<CheckpointSaved> {
  const { checkpointId, superstep, nextSteps } = message;
  return { kind: "CheckpointSaved", checkpointId, superstep, nextSteps };
}
