import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./generated/google/rpc/error_details_pb.js";
import type { Job } from "./job.js";

const DOMAIN = "autopilot";

/** gRPC's codes, by their numbers. */
const STATUS_CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** The name of a gRPC status code. */
export type StatusCode = (typeof STATUS_CODES)[number];

/** All that goes wrong with calls and jobs. */
export class AutopilotError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** One thing that is wrong with one field of a request. */
export interface Violation {
  field: string;
  description: string;
}

/** What a {@link CallError} has. */
export interface CallFailure {
  code: StatusCode;
  reason: string;
  message: string;
  metadata: Record<string, string>;
  violations: Violation[];
  retryDelayMs: number | undefined;
}

/**
 * A call failed. Each reason of the contract is a class below this one; a reason that this client does not know is
 * this class itself. `cause` is the error as @connectrpc/connect gave it.
 */
export class CallError extends AutopilotError {
  readonly code: StatusCode;
  /** The server's, such as `"JOB_NOT_FOUND"`: see docs/errors.md. Empty when it gave none. */
  readonly reason: string;
  /** What the reason is about: see docs/errors.md. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Everything that is wrong with the request, when the reason is `FIELD_INVALID`. */
  readonly violations: readonly Violation[];
  /** After how long trying again makes sense; `undefined` when the server did not say. */
  readonly retryDelayMs: number | undefined;

  constructor(failure: CallFailure, options?: ErrorOptions) {
    super(failure.message, options);
    this.code = failure.code;
    this.reason = failure.reason;
    this.metadata = failure.metadata;
    this.violations = failure.violations;
    this.retryDelayMs = failure.retryDelayMs;
  }
}

/** No server answered. */
export class ServerUnreachableError extends CallError {}
/** The call took longer than it might. */
export class DeadlineExceededError extends CallError {}

/** The request is out of form: `violations` has everything that is wrong. */
export class FieldInvalidError extends CallError {}
/** A JSON value is over the server's limit. */
export class PayloadTooLargeError extends CallError {}
/** The request id was used for something else. */
export class RequestIdReusedError extends CallError {}
/** The page token is not the server's, or for another filter. */
export class PageTokenInvalidError extends CallError {}
/** There is no such job. */
export class JobNotFoundError extends CallError {}
/** There is no such workflow. */
export class WorkflowNotFoundError extends CallError {}
/** The job has no such checkpoint. */
export class CheckpointNotFoundError extends CallError {}
/** The job id is taken. */
export class JobAlreadyExistsError extends CallError {}
/** Not possible in the job's state. */
export class JobStateConflictError extends CallError {}
/** The question is not open. */
export class InterruptNotPendingError extends CallError {}
/** Another unfinished job uses the thread. */
export class ThreadBusyError extends CallError {}
/** A newer job has gone on with the thread. */
export class ThreadAdvancedError extends CallError {}
/** The job has changed meanwhile. */
export class EtagMismatchError extends CallError {}
/** The place to watch from is not in the log. */
export class SequenceOutOfRangeError extends CallError {}
/** The server is full. */
export class LimitExceededError extends CallError {}
/** The server is stopping. */
export class ServerDrainingError extends CallError {}
/** The server's database is away. */
export class StorageUnavailableError extends CallError {}
/** The server failed: `metadata.error_id` finds it in its log. */
export class ServerFaultError extends CallError {}
/** Who calls is not known. */
export class CredentialsInvalidError extends CallError {}
/** Who calls may not. */
export class MethodForbiddenError extends CallError {}

const CLASSES = {
  FIELD_INVALID: FieldInvalidError,
  PAYLOAD_TOO_LARGE: PayloadTooLargeError,
  REQUEST_ID_REUSED: RequestIdReusedError,
  PAGE_TOKEN_INVALID: PageTokenInvalidError,
  JOB_NOT_FOUND: JobNotFoundError,
  WORKFLOW_NOT_FOUND: WorkflowNotFoundError,
  CHECKPOINT_NOT_FOUND: CheckpointNotFoundError,
  JOB_ALREADY_EXISTS: JobAlreadyExistsError,
  JOB_STATE_CONFLICT: JobStateConflictError,
  INTERRUPT_NOT_PENDING: InterruptNotPendingError,
  THREAD_BUSY: ThreadBusyError,
  THREAD_ADVANCED: ThreadAdvancedError,
  ETAG_MISMATCH: EtagMismatchError,
  SEQUENCE_OUT_OF_RANGE: SequenceOutOfRangeError,
  LIMIT_EXCEEDED: LimitExceededError,
  SERVER_DRAINING: ServerDrainingError,
  STORAGE_UNAVAILABLE: StorageUnavailableError,
  INTERNAL_ERROR: ServerFaultError,
  CREDENTIALS_INVALID: CredentialsInvalidError,
  METHOD_FORBIDDEN: MethodForbiddenError,
} as const;

/** The reasons of the contract. A newer server may give others: `CallError.reason` is any text. */
export type ErrorReason = keyof typeof CLASSES;

// --- jobs that did not succeed ---

/** `run` met a job that did not succeed; `job` is how it ended. */
export class JobEndedError extends AutopilotError {
  constructor(readonly job: Job) {
    super(`job ${job.jobId} is ${job.state}${job.error === undefined ? "" : `: ${job.error.message}`}`);
  }
}

/** The job FAILED. */
export class JobFailedError extends JobEndedError {}
/** The job was CANCELLED. */
export class JobCancelledError extends JobEndedError {}
/** The job waits for answers: `job.interrupts` has the questions. */
export class JobInterruptedError extends JobEndedError {}

/** The error of a job that rests, and has not SUCCEEDED. */
export function endedError(job: Job): JobEndedError {
  switch (job.state) {
    case "FAILED":
      return new JobFailedError(job);
    case "CANCELLED":
      return new JobCancelledError(job);
    case "INTERRUPTED":
      return new JobInterruptedError(job);
    default:
      return new JobEndedError(job);
  }
}

// --- mistakes ---

/** The client was closed. */
export class ClientClosedError extends Error {
  constructor() {
    super("this client is closed");
    this.name = "ClientClosedError";
  }
}

// --- from the wire ---

/** The error of a call, as connect gave it. */
export function callError(error: ConnectError): CallError {
  const code = (STATUS_CODES as readonly StatusCode[])[codeOf(error)] ?? "UNKNOWN";
  const info = error.findDetails(ErrorInfoSchema).find((detail) => detail.domain === DOMAIN);
  const [retry] = error.findDetails(RetryInfoSchema);
  const failure: CallFailure = {
    code,
    reason: info?.reason ?? "",
    message: error.rawMessage,
    metadata: info?.metadata ?? {},
    violations: error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations.map(violationOf)),
    retryDelayMs: retry?.retryDelay && durationMs(retry.retryDelay),
  };
  const kind = Object.hasOwn(CLASSES, failure.reason) ? CLASSES[failure.reason as ErrorReason] : classWithout(failure);
  return new kind(failure, { cause: error });
}

function violationOf({ field, description }: Violation): Violation {
  return { field, description };
}

function classWithout(failure: CallFailure): typeof CallError {
  if (failure.reason !== "") return CallError;
  if (failure.code === "UNAVAILABLE") return ServerUnreachableError;
  return failure.code === "DEADLINE_EXCEEDED" ? DeadlineExceededError : CallError;
}

/**
 * The code that gRPC has for an error. Connect says CANCELED, ABORTED or INTERNAL of a connection that broke, or that
 * could not be made; elsewhere in the world of gRPC that is UNAVAILABLE.
 */
export function codeOf(error: ConnectError): Code {
  if (error.metadata.has("grpc-status")) return error.code; // the server's own word
  const broken = error.code === Code.Canceled || error.code === Code.Aborted || isNodeError(error.cause);
  return broken ? Code.Unavailable : error.code;
}

/** An error of a socket, of TLS or of HTTP/2, from Node.js. */
function isNodeError(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string";
}
