import { Connection, type ClientOptions } from "./connection.js";
import { checkpointOf, jobOf, workflowOf } from "./convert.js";
import { endedError } from "./errors.js";
import { follow } from "./follow.js";
import type { Checkpoint, Job, Pruned, Workflow } from "./job.js";
import type * as options from "./options.js";
import * as requests from "./requests.js";
import type { Value } from "./value.js";
import { Watch } from "./watch.js";

const DEFAULT_ADDRESS = "127.0.0.1:50051";

/**
 * Submits, watches and controls jobs. One for a program is enough. Spans of time are milliseconds.
 *
 * Calls reject with a {@link CallError}, whose subclasses tell the reasons apart; with the reason of an aborted
 * signal; with a `TypeError` or `RangeError` of what the client itself refuses; or with {@link ClientClosedError}.
 *
 * @example
 * ```ts
 * const client = new Client("127.0.0.1:50051");
 * const output = await client.run("report", { topic: "durable jobs" });
 * client.close();
 * ```
 */
export class Client {
  readonly #connection: Connection;

  /**
   * Makes a client of the server at an address, `"host:port"` or `"unix:path"`. It does not wait for the server: the
   * first call finds it.
   *
   * @throws TypeError of an address or a token out of form, and of a token that others could read on its way.
   */
  constructor(address: string = DEFAULT_ADDRESS, options: ClientOptions = {}) {
    this.#connection = new Connection(address, options);
  }

  /** Ends what is open. The client cannot be used any more. */
  close(): void {
    this.#connection.close();
  }

  /** Closes: for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Submits a job, and resolves once it is durable.
   *
   * @param input - JSON; `undefined` is no input, which is not null.
   */
  async submit(workflow: string, input?: unknown, options: options.SubmitOptions = {}): Promise<Job> {
    const request = requests.submitRequest(workflow, input, options);
    const { job, deduplicated } = await this.#connection.call(options, (stub, how) => stub.submitJob(request, how));
    return jobOf(job, deduplicated);
  }

  /** Reads a job. */
  async get(jobId: string, options: options.GetOptions = {}): Promise<Job> {
    const request = requests.getRequest(jobId, options);
    const { job } = await this.#connection.call(options, (stub, how) => stub.getStatus(request, how), options.waitMs);
    return jobOf(job);
  }

  /** Lists all jobs that match, newest first; reads page by page as the loop goes on. */
  list(options: options.ListOptions = {}): AsyncGenerator<Job, undefined> {
    const request = { filter: requests.filter(options), ...requests.page(options) };
    return items(async (pageToken) => {
      const read = { ...request, pageToken };
      const page = await this.#connection.call(options, (stub, how) => stub.listJobs(read, how));
      return { items: page.jobs.map((job) => jobOf(job)), next: page.nextPageToken };
    });
  }

  /**
   * Watches a job.
   *
   * @example
   * ```ts
   * for await (const event of client.watch(jobId)) {
   *   if (event.kind === "StepFinished") console.log(event.step, event.update);
   * }
   * ```
   */
  watch(jobId: string, options: options.WatchOptions = {}): Watch {
    return new Watch(this.#connection, jobId, options);
  }

  /**
   * Watches a job until it is finished or INTERRUPTED, and resolves with it as it then is. An INTERRUPTED of its past,
   * which was resumed since, is an event like the others.
   */
  async follow(jobId: string, options: options.FollowOptions = {}): Promise<Job> {
    return follow(this, jobId, options, this.#connection.closing);
  }

  /**
   * Submits a job, watches it, and resolves with its output. When the signal aborts, the job goes on: `cancel` it to
   * end it. `timeoutMs` is that of the submit.
   *
   * @typeParam Output - What the caller knows the workflow to return. It is not checked.
   * @throws JobEndedError of a job that does not succeed: {@link JobFailedError}, {@link JobCancelledError} or
   * {@link JobInterruptedError}.
   */
  async run<Output = Value>(workflow: string, input?: unknown, options: options.RunOptions = {}): Promise<Output> {
    const { signal, onEvent } = options;
    const submitted = await this.submit(workflow, input, options);
    const job = await this.follow(submitted.jobId, { signal, onEvent });
    if (job.state !== "SUCCEEDED") throw endedError(job);
    return job.output as Output;
  }

  /** Asks a job to stop. */
  async cancel(jobId: string, options: options.CancelOptions = {}): Promise<Job> {
    const request = requests.cancelRequest(jobId, options);
    const { job } = await this.#connection.call(options, (stub, how) => stub.cancel(request, how));
    return jobOf(job);
  }

  /**
   * Continues a job that is INTERRUPTED, FAILED or CANCELLED: with answers to its questions, or from an earlier or
   * edited state.
   */
  async resume(jobId: string, options: options.ResumeOptions = {}): Promise<Job> {
    const request = requests.resumeRequest(jobId, options);
    const { job, deduplicated } = await this.#connection.call(options, (stub, how) => stub.resume(request, how));
    return jobOf(job, deduplicated);
  }

  /** Deletes a finished job, its events and its checkpoints. */
  async delete(jobId: string, options: options.DeleteOptions = {}): Promise<void> {
    const request = requests.deleteRequest(jobId, options);
    await this.#connection.call(options, (stub, how) => stub.deleteJob(request, how));
  }

  /** Lists a job's checkpoints, newest first; with the state's values when `payloads` is true. */
  checkpoints(jobId: string, options: options.PageOptions = {}): AsyncGenerator<Checkpoint, undefined> {
    const request = { jobId, ...requests.page(options) };
    return items(async (pageToken) => {
      const read = { ...request, pageToken };
      const page = await this.#connection.call(options, (stub, how) => stub.listCheckpoints(read, how));
      return { items: page.checkpoints.map(checkpointOf), next: page.nextPageToken };
    });
  }

  /** Deletes what jobs left behind that were finished at least this long ago. */
  async prune(finishedForMs: number, options: options.PruneOptions = {}): Promise<Pruned> {
    const request = requests.pruneRequest(finishedForMs, options);
    const pruned = await this.#connection.call(options, (stub, how) => stub.pruneJobs(request, how));
    return { deletedJobs: Number(pruned.deletedJobs), deletedCheckpoints: Number(pruned.deletedCheckpoints) };
  }

  /** Lists the workflows that the server can run. */
  workflows(options: options.CallOptions = {}): AsyncGenerator<Workflow, undefined> {
    const { pageSize } = requests.page({});
    return items(async (pageToken) => {
      const page = await this.#connection.call(options, (stub, how) =>
        stub.listWorkflows({ pageSize, pageToken }, how),
      );
      return { items: page.workflows.map(workflowOf), next: page.nextPageToken };
    });
  }
}

/** Those of all pages; `read` reads the page of a token. */
async function* items<Item>(
  read: (token: string) => Promise<{ items: Item[]; next: string }>,
): AsyncGenerator<Item, undefined> {
  let token = "";
  do {
    const page = await read(token);
    yield* page.items;
    token = page.next;
  } while (token !== "");
}
