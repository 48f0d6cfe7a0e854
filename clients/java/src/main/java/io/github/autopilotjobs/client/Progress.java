package io.github.autopilotjobs.client;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * How far a job is.
 *
 * @param fraction 0 to 1; 1 only when the job SUCCEEDED
 * @param estimatedTotalSteps 0 when unknown
 * @param elapsed time spent RUNNING, all attempts together
 * @param estimatedRemaining empty when it cannot be estimated
 * @param message the newest that the workflow reported
 */
public record Progress(
    double fraction,
    List<String> activeSteps,
    int completedSteps,
    int estimatedTotalSteps,
    Duration elapsed,
    Optional<Duration> estimatedRemaining,
    String message) {}
