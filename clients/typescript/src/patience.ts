import { setTimeout as pause } from "node:timers/promises";
import { CallError, type StatusCode } from "./errors.js";

const DEFAULT_RECONNECT_MS = 300_000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
const LONGEST_RETRY_DELAY_MS = 30_000;

/** The job's log is there all the same. */
const BREAKS: readonly StatusCode[] = [
  "UNAVAILABLE",
  "RESOURCE_EXHAUSTED",
  "INTERNAL",
  "UNKNOWN",
  "DEADLINE_EXCEEDED",
  "ABORTED",
];

/** How long, and how often, to try again while a server is away. */
export class Patience {
  #breaks = 0;
  #brokenSince: number | undefined;

  constructor(readonly reconnectForMs = DEFAULT_RECONNECT_MS) {}

  /** The server is there. */
  restore(): void {
    this.#breaks = 0;
    this.#brokenSince = undefined;
  }

  /** Waits before another try; or throws the error, when it is final, or when the break has lasted for too long. */
  async bear(error: unknown, signal: AbortSignal): Promise<void> {
    if (!(error instanceof CallError) || !BREAKS.includes(error.code)) throw error;
    const now = performance.now();
    this.#brokenSince ??= now;
    if (now - this.#brokenSince >= this.reconnectForMs) throw error;
    await sleep(this.#pauseMs(error.retryDelayMs ?? 0), signal);
  }

  #pauseMs(retryDelayMs: number): number {
    const longest = Math.min(FIRST_BACKOFF_MS * 2 ** this.#breaks, LONGEST_BACKOFF_MS);
    this.#breaks += 1;
    // Jitter, so that the watchers of a server that comes back do not come all at once; on top of what it asks for,
    // for the same reason.
    return Math.max(0, Math.min(retryDelayMs, LONGEST_RETRY_DELAY_MS)) + longest * (0.5 + 0.5 * Math.random());
  }
}

/** Rejects with the signal's reason when it comes first. */
async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await pause(ms, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
