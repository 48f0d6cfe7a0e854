import type { Interrupt, JobError, JobState, Progress } from "./job.js";
import type { Value } from "./value.js";

/** Something that happened to a job. `kind` tells which; `switch` over it. */
export type JobEvent =
  | StateChanged
  | StepStarted
  | StepFinished
  | StepFailed
  | InterruptRaised
  | ProgressReported
  | CheckpointSaved
  | TokenChunk
  | UnknownEvent;

/** What every event has. */
export interface EventBase {
  jobId: string;
  /** Place in the job's log: 1, 2, 3 … 0: not stored. */
  sequence: number;
  time: Date | undefined;
  attempt: number;
  /** The job's, just after the event. */
  progress: Progress;
}

/** The job moved. `from` is UNKNOWN for a job that was just submitted. */
export interface StateChanged extends EventBase {
  kind: "StateChanged";
  from: JobState;
  to: JobState;
  error: JobError | undefined;
}

/** A step began. */
export interface StepStarted extends EventBase {
  kind: "StepStarted";
  step: string;
  stepRunId: string;
}

/** A step returned, and what it wrote is durable. */
export interface StepFinished extends EventBase {
  kind: "StepFinished";
  step: string;
  stepRunId: string;
  /** What the step returned. */
  update: Value;
  durationMs: number;
}

/** A step raised. */
export interface StepFailed extends EventBase {
  kind: "StepFailed";
  step: string;
  stepRunId: string;
  error: JobError | undefined;
  durationMs: number;
}

/** A step asked a question. */
export interface InterruptRaised extends EventBase {
  kind: "InterruptRaised";
  interrupt: Interrupt;
}

/** The workflow reported. */
export interface ProgressReported extends EventBase {
  kind: "ProgressReported";
  step: string;
  message: string;
  /** 0 to 1, of the step; `undefined` when it did not say. */
  fraction: number | undefined;
  data: Value;
  /** Reports just before this one that came too fast. */
  dropped: number;
}

/** The state after a superstep is durable. */
export interface CheckpointSaved extends EventBase {
  kind: "CheckpointSaved";
  checkpointId: string;
  superstep: number;
  nextSteps: string[];
}

/** A piece of a language model's answer. It is not stored, and may be lost. */
export interface TokenChunk extends EventBase {
  kind: "TokenChunk";
  step: string;
  messageId: string;
  text: string;
}

/** An event of a newer server. */
export interface UnknownEvent extends EventBase {
  kind: "Unknown";
}
