import { readFileSync } from "node:fs";
import type * as client from "../src/index.js";

/** A command: the call, and the arguments of all calls. */
export interface Command {
  call: string;
  address?: string;
  timeout?: number;
  token?: string;
  ca?: string;
  cert?: string;
  key?: string;
  insecure?: boolean;
  workflow?: string;
  input?: unknown;
  job_id?: string;
  request_id?: string;
  thread_id?: string;
  labels?: Record<string, string>;
  priority?: number;
  scheduled_in?: number;
  execution_timeout?: number;
  retry_policy?: RetryPolicy;
  retention?: number;
  interrupt_before?: string[];
  interrupt_after?: string[];
  context?: unknown;
  step_limit?: number;
  concurrency_key?: string;
  fork_from?: string;
  fork_checkpoint?: string;
  wait?: number;
  payloads?: boolean;
  states?: client.JobState[];
  page_size?: number;
  after_sequence?: number;
  stop_when_caught_up?: boolean;
  tokens?: boolean;
  reconnect_for?: number;
  count?: number;
  reason?: string;
  grace_period?: number;
  etag?: string;
  answer?: unknown;
  answers?: Record<string, unknown>;
  checkpoint_id?: string;
  state_update?: unknown;
  state_update_step?: string;
  allow_missing?: boolean;
  values?: boolean;
  finished_for?: number;
  checkpoints_only?: boolean;
  dry_run?: boolean;
}

interface RetryPolicy {
  max_attempts?: number;
  initial_backoff?: number;
  max_backoff?: number;
  backoff_multiplier?: number;
}

export function clientOptions(command: Command): client.ClientOptions {
  const { token, insecure } = command;
  const tls = command.ca !== undefined && {
    ca: readFileSync(command.ca),
    cert: command.cert && readFileSync(command.cert),
    key: command.key && readFileSync(command.key),
  };
  return { token, insecure, tls, timeoutMs: ms(command.timeout) };
}

export function submitOptions(command: Command): client.SubmitOptions {
  const { scheduled_in: scheduledIn, retry_policy: policy } = command;
  return {
    jobId: command.job_id,
    requestId: command.request_id,
    threadId: command.thread_id,
    labels: command.labels,
    scheduledTime: scheduledIn === undefined ? undefined : new Date(Date.now() + scheduledIn * 1000),
    priority: command.priority,
    executionTimeoutMs: ms(command.execution_timeout),
    retryPolicy: policy && retryPolicy(policy),
    retentionMs: ms(command.retention),
    interruptBefore: command.interrupt_before,
    interruptAfter: command.interrupt_after,
    context: command.context,
    stepLimit: command.step_limit,
    concurrencyKey: command.concurrency_key,
    forkFrom: command.fork_from,
    forkCheckpoint: command.fork_checkpoint,
    timeoutMs: ms(command.timeout),
  };
}

function retryPolicy(policy: RetryPolicy): client.RetryPolicy {
  return {
    maxAttempts: policy.max_attempts,
    initialBackoffMs: ms(policy.initial_backoff),
    maxBackoffMs: ms(policy.max_backoff),
    backoffMultiplier: policy.backoff_multiplier,
  };
}

export function getOptions(command: Command): client.GetOptions {
  return { waitMs: ms(command.wait), payloads: command.payloads, timeoutMs: ms(command.timeout) };
}

export function filter(command: Command): client.JobFilter {
  const { states, workflow, labels } = command;
  return { states, workflow, labels, threadId: command.thread_id };
}

export function listOptions(command: Command): client.ListOptions {
  return { ...filter(command), payloads: command.payloads, pageSize: command.page_size };
}

export function watchOptions(command: Command): client.WatchOptions {
  return {
    afterSequence: command.after_sequence,
    stopWhenCaughtUp: command.stop_when_caught_up,
    tokens: command.tokens,
    reconnectForMs: ms(command.reconnect_for),
  };
}

export function cancelOptions(command: Command): client.CancelOptions {
  const { reason, etag } = command;
  return { reason, etag, gracePeriodMs: ms(command.grace_period), timeoutMs: ms(command.timeout) };
}

export function resumeOptions(command: Command): client.ResumeOptions {
  const { answer, answers, etag } = command;
  return {
    answer,
    answers,
    etag,
    requestId: command.request_id,
    checkpointId: command.checkpoint_id,
    stateUpdate: command.state_update,
    stateUpdateStep: command.state_update_step,
    timeoutMs: ms(command.timeout),
  };
}

function ms(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}
