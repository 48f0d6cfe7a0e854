import type { JsonValue } from "./json.js";
import type { Value } from "./value.js";

/** The states of the contract. One that this client does not know is `UNKNOWN`. */
export const JOB_STATES = [
  "UNKNOWN",
  "PENDING",
  "RUNNING",
  "INTERRUPTED",
  "CANCELLING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
] as const;

/** The state of a job. */
export type JobState = (typeof JOB_STATES)[number];

/** Whether nothing more happens to a job unless somebody resumes it. */
export function isFinished(state: JobState): boolean {
  return state === "SUCCEEDED" || state === "FAILED" || state === "CANCELLED";
}

/** Whether a job is finished, or waits for answers. */
export function isResting(state: JobState): boolean {
  return isFinished(state) || state === "INTERRUPTED";
}

/** A run of a workflow. */
export interface Job {
  jobId: string;
  workflow: string;
  threadId: string;
  state: JobState;
  labels: Record<string, string>;
  priority: number;
  /** `undefined` when the response has none. */
  input: Value;
  /** The workflow's result, once SUCCEEDED. */
  output: Value;
  /** Why the job FAILED or was CANCELLED, or why its last attempt failed. */
  error: JobError | undefined;
  /** Questions that are not answered yet. */
  interrupts: Interrupt[];
  progress: Progress;
  attempt: number;
  maxAttempts: number;
  failedAttempts: number;
  checkpointId: string;
  /** Sequence of the newest stored event. */
  latestSequence: number;
  nextSteps: string[];
  createTime: Date | undefined;
  scheduledTime: Date | undefined;
  startTime: Date | undefined;
  updateTime: Date | undefined;
  endTime: Date | undefined;
  expireTime: Date | undefined;
  nextAttemptTime: Date | undefined;
  etag: string;
  workflowRevision: string;
  concurrencyKey: string;
  /**
   * Of the `submit` or `resume` that returned the job: whether its request id had been used before, so that it did
   * nothing. `undefined` elsewhere.
   */
  deduplicated: boolean | undefined;
}

/** Why a job failed or was cancelled. The reasons are in docs/errors.md. */
export interface JobError {
  reason: string;
  message: string;
  step: string;
  exceptionType: string;
  traceback: string;
}

/** A question that waits for an answer. */
export interface Interrupt {
  interruptId: string;
  step: string;
  value: Value;
  createTime: Date | undefined;
  /** JSON Schema of an answer, when the workflow gave one. */
  responseSchema: JsonValue | undefined;
  stepRunId: string;
}

/** How far a job is. */
export interface Progress {
  /** 0 to 1; 1 only when the job SUCCEEDED. */
  fraction: number;
  activeSteps: string[];
  completedSteps: number;
  /** 0 when unknown. */
  estimatedTotalSteps: number;
  elapsedMs: number;
  /** `undefined` when it cannot be estimated. */
  estimatedRemainingMs: number | undefined;
  message: string;
}

/** The state of a job's thread after a superstep. */
export interface Checkpoint {
  checkpointId: string;
  parentCheckpointId: string;
  superstep: number;
  source: string;
  nextSteps: string[];
  createTime: Date | undefined;
  /** The state's values, when they were asked for. */
  values: Value;
}

/** A workflow that the server can run. */
export interface Workflow {
  name: string;
  description: string;
  revision: string;
  /** JSON Schema. */
  inputSchema: JsonValue | undefined;
  /** JSON Schema. */
  outputSchema: JsonValue | undefined;
  steps: string[];
  /** The graph, as a Mermaid diagram. */
  mermaid: string;
  /** How many of its jobs run at once; 0: any number. */
  maxRunningJobs: number;
  /** How many with the same concurrency key; 0: any number, and no job has a key. */
  maxRunningJobsPerKey: number;
}

/** What `prune` deleted, or would delete. */
export interface Pruned {
  deletedJobs: number;
  deletedCheckpoints: number;
}
