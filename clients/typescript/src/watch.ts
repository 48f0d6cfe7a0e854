import type { Connection } from "./connection.js";
import { eventOf } from "./convert.js";
import { ClientClosedError } from "./errors.js";
import type { JobEvent } from "./event.js";
import type { ProgressEvent } from "./generated/autopilot/v1/job_pb.js";
import type { WatchProgressResponse } from "./generated/autopilot/v1/job_service_pb.js";
import type { WatchOptions } from "./options.js";
import { Patience } from "./patience.js";
import { payloadFormat } from "./requests.js";

/**
 * A job's events: the stored ones, then new ones as they happen, until the job is finished, the signal aborts, or the
 * loop is left, which ends the call at once.
 *
 * It goes on by itself when the connection or the server breaks: each stored event exactly once, in order.
 */
export class Watch implements AsyncIterableIterator<JobEvent, undefined> {
  readonly #ending = new AbortController();
  readonly #events: AsyncGenerator<JobEvent, undefined>;
  #left = false;

  /** @internal */
  constructor(connection: Connection, jobId: string, options: WatchOptions) {
    this.#events = this.#read(connection, new Place(jobId, options), options);
  }

  /** The next event; waits for it. */
  next(): Promise<IteratorResult<JobEvent, undefined>> {
    return this.#events.next();
  }

  /** Leaves the watch. A `next` that waits ends as well. */
  async return(): Promise<IteratorResult<JobEvent, undefined>> {
    this.#left = true;
    this.#ending.abort();
    return this.#events.return(undefined);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Leaves the watch: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  async *#read(connection: Connection, place: Place, { signal }: WatchOptions): AsyncGenerator<JobEvent, undefined> {
    const unlink = [
      link(signal, (reason) => {
        this.#ending.abort(reason);
      }),
      link(connection.closing, () => {
        this.#ending.abort(new ClientClosedError());
      }),
    ];
    try {
      yield* this.#readOn(connection, place);
    } finally {
      for (const each of unlink) each();
      this.#ending.abort();
    }
  }

  /** One call after another. */
  async *#readOn(connection: Connection, place: Place): AsyncGenerator<JobEvent, undefined> {
    const { signal } = this.#ending;
    for (;;) {
      try {
        const responses = connection.stream(signal, (stub, options) => stub.watchProgress(place.request(), options));
        for await (const response of responses) yield* place.take(response);
        return;
      } catch (error) {
        if (this.#left) return;
        await place.patience.bear(error, signal);
      }
    }
  }
}

/** A reader's place in a job's log. */
class Place {
  readonly patience: Patience;
  #sequence: bigint;

  constructor(
    readonly jobId: string,
    readonly options: WatchOptions,
  ) {
    this.patience = new Patience(options.reconnectForMs);
    this.#sequence = BigInt(options.afterSequence ?? 0);
  }

  request() {
    return {
      jobId: this.jobId,
      afterSequence: this.#sequence,
      stopWhenCaughtUp: this.options.stopWhenCaughtUp ?? false,
      includeTokens: this.options.tokens ?? false,
      payloadFormat,
    };
  }

  /** A response's events, each stored one once. */
  *take(response: WatchProgressResponse): Generator<JobEvent, undefined> {
    this.patience.restore();
    for (const message of response.events) {
      if (this.#isNew(message)) yield eventOf(message);
    }
    if (response.throughSequence > this.#sequence) this.#sequence = response.throughSequence;
  }

  #isNew({ sequence }: ProgressEvent): boolean {
    if (sequence === 0n) return true;
    if (sequence <= this.#sequence) return false;
    this.#sequence = sequence;
    return true;
  }
}

/** Calls when the signal is aborted, until it is unlinked. */
function link(signal: AbortSignal | undefined, abort: (reason: unknown) => void): () => void {
  if (signal === undefined) return () => undefined;
  const onAbort = () => {
    abort(signal.reason);
  };
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  return () => {
    signal.removeEventListener("abort", onAbort);
  };
}
