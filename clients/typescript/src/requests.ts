import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, type DurationSchema } from "@bufbuild/protobuf/wkt";
import { PayloadFormat, View, type RetryPolicySchema } from "./generated/autopilot/v1/job_pb.js";
import type * as pb from "./generated/autopilot/v1/job_service_pb.js";
import { JOB_STATES } from "./job.js";
import type * as options from "./options.js";
import { optionalPayload, payload } from "./value.js";

// Requests from what a caller gives. Members that are not given are left out.

export const payloadFormat = PayloadFormat.JSON_TEXT;
const PAGE_SIZE = 100;

export function submitRequest(
  workflow: string,
  input: unknown,
  given: options.SubmitOptions,
): MessageInitShape<typeof pb.SubmitJobRequestSchema> {
  return present({
    workflow,
    input: optionalPayload(input),
    jobId: given.jobId,
    // Made once, so that the tries of one call have the same.
    requestId: given.requestId ?? randomUUID(),
    threadId: given.threadId,
    labels: given.labels,
    scheduledTime: given.scheduledTime && timestampFromDate(given.scheduledTime),
    priority: int32("priority", given.priority),
    executionTimeout: span(given.executionTimeoutMs),
    retryPolicy: given.retryPolicy && retryPolicy(given.retryPolicy),
    forkFrom:
      given.forkFrom === undefined ? undefined : { jobId: given.forkFrom, checkpointId: given.forkCheckpoint ?? "" },
    retention: span(given.retentionMs),
    interruptBefore: given.interruptBefore,
    interruptAfter: given.interruptAfter,
    context: optionalPayload(given.context),
    stepLimit: int32("stepLimit", given.stepLimit),
    concurrencyKey: given.concurrencyKey,
  });
}

function retryPolicy(given: options.RetryPolicy): MessageInitShape<typeof RetryPolicySchema> {
  return present({
    maxAttempts: int32("maxAttempts", given.maxAttempts),
    initialBackoff: span(given.initialBackoffMs),
    maxBackoff: span(given.maxBackoffMs),
    backoffMultiplier: given.backoffMultiplier,
  });
}

export function getRequest(
  jobId: string,
  given: options.GetOptions,
): MessageInitShape<typeof pb.GetStatusRequestSchema> {
  return present({ jobId, view: view(given.payloads ?? true), payloadFormat, waitTimeout: span(given.waitMs) });
}

export function filter(given: options.JobFilter): MessageInitShape<typeof pb.JobFilterSchema> {
  return present({
    states: given.states?.map((state) => JOB_STATES.indexOf(state)),
    workflow: given.workflow,
    threadId: given.threadId,
    labels: given.labels,
    createdAfter: given.createdAfter && timestampFromDate(given.createdAfter),
    createdBefore: given.createdBefore && timestampFromDate(given.createdBefore),
  });
}

export function page(given: options.PageOptions): { pageSize: number; view: View; payloadFormat: PayloadFormat } {
  return {
    pageSize: int32("pageSize", given.pageSize) ?? PAGE_SIZE,
    view: view(given.payloads ?? false),
    payloadFormat,
  };
}

export function cancelRequest(
  jobId: string,
  given: options.CancelOptions,
): MessageInitShape<typeof pb.CancelRequestSchema> {
  return present({ jobId, reason: given.reason, etag: given.etag, gracePeriod: span(given.gracePeriodMs) });
}

export function resumeRequest(
  jobId: string,
  given: options.ResumeOptions,
): MessageInitShape<typeof pb.ResumeRequestSchema> {
  const answers = Object.entries(given.answers ?? {}).map(([id, answer]) => [id, payload(answer)] as const);
  return present({
    jobId,
    answer: optionalPayload(given.answer),
    answers: Object.fromEntries(answers),
    requestId: given.requestId ?? randomUUID(),
    etag: given.etag,
    checkpointId: given.checkpointId,
    stateUpdate: optionalPayload(given.stateUpdate),
    stateUpdateStep: given.stateUpdateStep,
  });
}

export function deleteRequest(
  jobId: string,
  given: options.DeleteOptions,
): MessageInitShape<typeof pb.DeleteJobRequestSchema> {
  return present({ jobId, etag: given.etag, allowMissing: given.allowMissing });
}

export function pruneRequest(
  finishedForMs: number,
  given: options.PruneOptions,
): MessageInitShape<typeof pb.PruneJobsRequestSchema> {
  return present({
    finishedFor: span(finishedForMs),
    filter: filter(given),
    checkpointsOnly: given.checkpointsOnly,
    dryRun: given.dryRun,
  });
}

function view(payloads: boolean): View {
  return payloads ? View.FULL : View.BASIC;
}

/** Without the members that are undefined: they are set to nothing otherwise. */
function present<Given extends object>(given: Given): { [Key in keyof Given]: Exclude<Given[Key], undefined> } {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof Given]: Exclude<Given[Key], undefined> };
}

/** What the wire has no place for is refused here; the rest is the server's to judge. */
function int32(name: string, value: number | undefined): number | undefined {
  if (value === undefined || (Number.isInteger(value) && Math.abs(value) < 2 ** 31)) return value;
  throw new RangeError(`${name} must be a whole number of 32 bits, not ${value}`);
}

function span(ms: number | undefined): MessageInitShape<typeof DurationSchema> | undefined {
  if (ms === undefined) return undefined;
  if (!Number.isFinite(ms)) throw new RangeError(`a span must be a number of milliseconds, not ${ms}`);
  const microseconds = Math.round(ms * 1000);
  const seconds = Math.trunc(microseconds / 1e6);
  return { seconds: BigInt(seconds), nanos: (microseconds - seconds * 1e6) * 1000 };
}
