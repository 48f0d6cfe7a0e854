package io.github.autopilotjobs.client;

import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A run of a workflow.
 *
 * @param input missing when the response has not got it
 * @param output missing until the job SUCCEEDED, and when the response has not got it
 * @param error why the job FAILED or was CANCELLED, or why its last attempt failed
 * @param interrupts the questions that are not answered yet
 * @param attempt how often a worker has taken the job up
 * @param maxAttempts bounds {@code failedAttempts}
 * @param checkpointId empty before the first
 * @param latestSequence of the newest stored event
 * @param nextSteps what comes next, while the job is not running
 * @param expireTime when the job is deleted
 * @param nextAttemptTime while the job waits for a retry
 * @param concurrencyKey only so many jobs with it run at once; empty: none
 * @param deduplicated of the call that returned the job, a submit or a resume: its request id had
 *     been used before, so that it did nothing
 */
public record Job(
    String jobId,
    String workflow,
    String threadId,
    JobState state,
    Map<String, String> labels,
    int priority,
    Value input,
    Value output,
    Optional<JobError> error,
    List<Interrupt> interrupts,
    Progress progress,
    int attempt,
    int maxAttempts,
    int failedAttempts,
    String checkpointId,
    long latestSequence,
    List<String> nextSteps,
    Instant createTime,
    Optional<Instant> scheduledTime,
    Optional<Instant> startTime,
    Instant updateTime,
    Optional<Instant> endTime,
    Optional<Instant> expireTime,
    Optional<Instant> nextAttemptTime,
    String etag,
    String workflowRevision,
    String concurrencyKey,
    boolean deduplicated) {}
