import type { JobEvent } from "./event.js";
import type { JobState } from "./job.js";

/** What every call takes. */
export interface CallOptions {
  /** How long the call may take; else the client's own. A watch takes any time. */
  timeoutMs?: number | undefined;
  /** Ends the call, which then rejects with the signal's reason. The job goes on: `cancel` ends that. */
  signal?: AbortSignal | undefined;
}

/** What a submit may say besides the workflow and its input. */
export interface SubmitOptions extends CallOptions {
  /** The server makes one when it is not given. */
  jobId?: string | undefined;
  /** Makes a repeated submit do nothing; made when it is not given. */
  requestId?: string | undefined;
  threadId?: string | undefined;
  labels?: Record<string, string> | undefined;
  scheduledTime?: Date | undefined;
  /** 0 to 9, larger runs first. */
  priority?: number | undefined;
  executionTimeoutMs?: number | undefined;
  retryPolicy?: RetryPolicy | undefined;
  /** How long the job is kept once it is finished. */
  retentionMs?: number | undefined;
  /** Steps before which the job becomes INTERRUPTED; "*": every one. */
  interruptBefore?: string[] | undefined;
  interruptAfter?: string[] | undefined;
  /** LangGraph's run-time context, as JSON. */
  context?: unknown;
  stepLimit?: number | undefined;
  /** Only so many jobs with it run at once as the workflow says. */
  concurrencyKey?: string | undefined;
  /** A job: start from a copy of its checkpoint, `forkCheckpoint` or the newest. */
  forkFrom?: string | undefined;
  forkCheckpoint?: string | undefined;
}

/** How failed attempts of a job are repeated. What is not given is the workflow's, or the server's. */
export interface RetryPolicy {
  maxAttempts?: number | undefined;
  initialBackoffMs?: number | undefined;
  maxBackoffMs?: number | undefined;
  backoffMultiplier?: number | undefined;
}

/** How to read a job. */
export interface GetOptions extends CallOptions {
  /** Wait this long, at most, for the job to be finished or INTERRUPTED; that it is not by then is no error. */
  waitMs?: number | undefined;
  /** With input, output and interrupts' values. Default true. */
  payloads?: boolean | undefined;
}

/** Which jobs. All that is given must hold. */
export interface JobFilter {
  /** Any of these. */
  states?: JobState[] | undefined;
  workflow?: string | undefined;
  threadId?: string | undefined;
  labels?: Record<string, string> | undefined;
  /** Inclusive. */
  createdAfter?: Date | undefined;
  /** Exclusive. */
  createdBefore?: Date | undefined;
}

/** How to list. The time is that of each page. */
export interface PageOptions extends CallOptions {
  /** With payloads. Default false. */
  payloads?: boolean | undefined;
  /** How many are read at once. Default 100. */
  pageSize?: number | undefined;
}

/** Which jobs to list, and how. */
export interface ListOptions extends JobFilter, PageOptions {}

/** How to watch. */
export interface WatchOptions {
  /** Only stored events after this one. */
  afterSequence?: number | undefined;
  /** End once all stored events were seen. */
  stopWhenCaughtUp?: boolean | undefined;
  /** Also TokenChunk events, which are not stored. */
  tokens?: boolean | undefined;
  /** How long a break may last before its error ends the watch. Default 300 000; 0: every break does. */
  reconnectForMs?: number | undefined;
  /** Ends the watch, which then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** How to follow. */
export interface FollowOptions extends Omit<WatchOptions, "stopWhenCaughtUp"> {
  /** Called with each event, and awaited. */
  onEvent?: ((event: JobEvent) => unknown) | undefined;
}

/** How to run: what a submit takes, and what is called with each event. */
export interface RunOptions extends SubmitOptions {
  /** Called with each event, and awaited. */
  onEvent?: ((event: JobEvent) => unknown) | undefined;
}

/** How to cancel. */
export interface CancelOptions extends CallOptions {
  /** For people. */
  reason?: string | undefined;
  etag?: string | undefined;
  /** How long running steps may go on; 0: stop them at once. */
  gracePeriodMs?: number | undefined;
}

/** How to continue a job. */
export interface ResumeOptions extends CallOptions {
  /** Answers the only open question. */
  answer?: unknown;
  /** Answers by interrupt id. */
  answers?: Record<string, unknown> | undefined;
  /** Makes a repeated resume do nothing; made when it is not given. */
  requestId?: string | undefined;
  etag?: string | undefined;
  /** Go on from this earlier checkpoint. */
  checkpointId?: string | undefined;
  /** Apply this to the state first. */
  stateUpdate?: unknown;
  /** The step that the update is attributed to. */
  stateUpdateStep?: string | undefined;
}

/** How to delete. */
export interface DeleteOptions extends CallOptions {
  etag?: string | undefined;
  /** That there is no such job is no error. */
  allowMissing?: boolean | undefined;
}

/** Which finished jobs to prune, and of them what. */
export interface PruneOptions extends JobFilter, CallOptions {
  /** Keep the jobs and their newest checkpoints. */
  checkpointsOnly?: boolean | undefined;
  /** Count, delete nothing. */
  dryRun?: boolean | undefined;
}
