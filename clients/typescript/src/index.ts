/**
 * The client of Autopilot: LangGraph workflows as durable background jobs behind gRPC.
 *
 * @packageDocumentation
 */
export { Client } from "./client.js";
export type { ClientOptions, TlsOptions } from "./connection.js";
export type { Token } from "./credentials.js";
export * from "./event.js";
export * from "./job.js";
export { parseJson, stringifyJson, type JsonValue } from "./json.js";
export type * from "./options.js";
export { Omitted, type Value } from "./value.js";
export { Watch } from "./watch.js";
export {
  AutopilotError,
  CallError,
  CheckpointNotFoundError,
  ClientClosedError,
  CredentialsInvalidError,
  DeadlineExceededError,
  EtagMismatchError,
  FieldInvalidError,
  InterruptNotPendingError,
  JobAlreadyExistsError,
  JobCancelledError,
  JobEndedError,
  JobFailedError,
  JobInterruptedError,
  JobNotFoundError,
  JobStateConflictError,
  LimitExceededError,
  MethodForbiddenError,
  PageTokenInvalidError,
  PayloadTooLargeError,
  RequestIdReusedError,
  SequenceOutOfRangeError,
  ServerDrainingError,
  ServerFaultError,
  ServerUnreachableError,
  StorageUnavailableError,
  ThreadAdvancedError,
  ThreadBusyError,
  WorkflowNotFoundError,
  type CallFailure,
  type ErrorReason,
  type StatusCode,
  type Violation,
} from "./errors.js";
