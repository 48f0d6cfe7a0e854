package io.github.autopilotjobs.client;

import java.time.Instant;

/**
 * Something that happened to a job.
 *
 * @param sequence the place in the job's log: 1, 2, 3 …; 0: not stored
 * @param progress the job's, just after the event
 * @param kind what happened: one of the records of {@link EventKind}
 */
public record Event(
    String jobId, long sequence, Instant time, int attempt, Progress progress, EventKind kind) {}
