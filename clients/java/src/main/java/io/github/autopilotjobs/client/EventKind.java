package io.github.autopilotjobs.client;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/** What happened. Newer servers may send more: they are {@link Unknown}. */
public sealed interface EventKind {
  /**
   * The job moved.
   *
   * @param from UNKNOWN for a job that was just submitted
   * @param error when it FAILED or was CANCELLED, or when an attempt failed and is retried
   */
  record StateChanged(JobState from, JobState to, Optional<JobError> error) implements EventKind {}

  /**
   * A step began.
   *
   * @param stepRunId tells parallel runs of a step apart
   */
  record StepStarted(String step, String stepRunId) implements EventKind {}

  /**
   * A step returned, and what it wrote is durable.
   *
   * @param update what the step returned
   */
  record StepFinished(String step, String stepRunId, Value update, Duration duration)
      implements EventKind {}

  /** A step raised. */
  record StepFailed(String step, String stepRunId, JobError error, Duration duration)
      implements EventKind {}

  /** A step asked a question. */
  record InterruptRaised(Interrupt interrupt) implements EventKind {}

  /**
   * The workflow reported.
   *
   * @param fraction of the step, 0 to 1; empty when it did not say
   * @param data missing when it gave none
   * @param dropped the reports just before this one that came too fast
   */
  record ProgressReported(
      String step, String message, OptionalDouble fraction, Value data, int dropped)
      implements EventKind {}

  /** The state after a superstep is durable. */
  record CheckpointSaved(String checkpointId, int superstep, List<String> nextSteps)
      implements EventKind {}

  /** A piece of a language model's answer. It is not stored, and may be lost. */
  record TokenChunk(String step, String messageId, String text) implements EventKind {}

  /** An event of a newer server. */
  record Unknown() implements EventKind {}
}
