import type { JobEvent } from "./event.js";
import { isResting, type Job } from "./job.js";
import type { CallOptions, FollowOptions, WatchOptions } from "./options.js";
import { Patience } from "./patience.js";
import type { Watch } from "./watch.js";

interface Reader {
  get(jobId: string, options: CallOptions): Promise<Job>;
  watch(jobId: string, options: WatchOptions): Watch;
}

/** Watches a job until it is finished, or INTERRUPTED now and not only at some time in its past. */
export async function follow(
  reader: Reader,
  jobId: string,
  options: FollowOptions,
  closing: AbortSignal,
): Promise<Job> {
  const { onEvent, afterSequence: sequence = 0, ...watching } = options;
  const seen = { sequence };
  for (;;) {
    const job = await reread(reader, jobId, options, closing);
    // The job rests, and everything that led there was seen.
    if (isResting(job.state) && seen.sequence >= job.latestSequence) return job;
    for await (const event of reader.watch(jobId, { ...watching, afterSequence: seen.sequence })) {
      seen.sequence = Math.max(seen.sequence, event.sequence);
      await onEvent?.(event);
      if (mayRest(job, event) && seen.sequence >= job.latestSequence) break;
    }
  }
}

/**
 * Whether the job may be INTERRUPTED after this event, and has to be read to know. The end of a finished job needs no
 * care: its watch ends by itself.
 */
function mayRest(job: Job, event: JobEvent): boolean {
  return job.state === "INTERRUPTED" || (event.kind === "StateChanged" && event.to === "INTERRUPTED");
}

/** Reads a job, as patiently as a watch. */
async function reread(
  reader: Reader,
  jobId: string,
  { signal, reconnectForMs }: FollowOptions,
  closing: AbortSignal,
): Promise<Job> {
  const patience = new Patience(reconnectForMs);
  const ending = signal === undefined ? closing : AbortSignal.any([signal, closing]);
  for (;;) {
    try {
      return await reader.get(jobId, { signal });
    } catch (error) {
      await patience.bear(error, ending);
    }
  }
}
