package io.github.autopilotjobs.client;

import com.google.protobuf.Timestamp;
import io.github.autopilotjobs.v1.ProgressEvent;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Collectors;

/** The contract's messages as this client's values. What is not known is UNKNOWN. */
final class Conversions {
  private static final Map<io.github.autopilotjobs.v1.JobState, JobState> STATES =
      List.of(JobState.values()).stream()
          .filter(state -> state != JobState.UNKNOWN)
          .collect(Collectors.toUnmodifiableMap(Conversions::message, state -> state));

  private Conversions() {}

  static Job job(io.github.autopilotjobs.v1.Job message, boolean deduplicated) {
    return new Job(
        message.getJobId(),
        message.getWorkflow(),
        message.getThreadId(),
        state(message.getState()),
        Map.copyOf(message.getLabelsMap()),
        message.getPriority(),
        Payloads.value(message.getInput()),
        Payloads.value(message.getOutput()),
        message.hasError() ? Optional.of(error(message.getError())) : Optional.empty(),
        message.getInterruptsList().stream().map(Conversions::interrupt).toList(),
        progress(message.getProgress()),
        message.getAttempt(),
        message.getMaxAttempts(),
        message.getFailedAttempts(),
        message.getCheckpointId(),
        message.getLatestSequence(),
        List.copyOf(message.getNextStepsList()),
        instant(message.getCreateTime()),
        optional(message.hasScheduledTime(), message.getScheduledTime()),
        optional(message.hasStartTime(), message.getStartTime()),
        instant(message.getUpdateTime()),
        optional(message.hasEndTime(), message.getEndTime()),
        optional(message.hasExpireTime(), message.getExpireTime()),
        optional(message.hasNextAttemptTime(), message.getNextAttemptTime()),
        message.getEtag(),
        message.getWorkflowRevision(),
        message.getConcurrencyKey(),
        deduplicated);
  }

  static JobState state(io.github.autopilotjobs.v1.JobState message) {
    return STATES.getOrDefault(message, JobState.UNKNOWN);
  }

  static io.github.autopilotjobs.v1.JobState message(JobState state) {
    return state == JobState.UNKNOWN
        ? io.github.autopilotjobs.v1.JobState.JOB_STATE_UNSPECIFIED
        : io.github.autopilotjobs.v1.JobState.valueOf("JOB_STATE_" + state.name());
  }

  private static JobError error(io.github.autopilotjobs.v1.JobError message) {
    return new JobError(
        message.getReason(),
        message.getMessage(),
        message.getStep(),
        message.getExceptionType(),
        message.getTraceback());
  }

  private static Interrupt interrupt(io.github.autopilotjobs.v1.Interrupt message) {
    return new Interrupt(
        message.getInterruptId(),
        message.getStep(),
        Payloads.value(message.getValue()),
        instant(message.getCreateTime()),
        message.hasResponseSchema() ? Payloads.value(message.getResponseSchema()) : Value.MISSING,
        message.getStepRunId());
  }

  private static Progress progress(io.github.autopilotjobs.v1.Progress message) {
    return new Progress(
        message.getFraction(),
        List.copyOf(message.getActiveStepsList()),
        message.getCompletedSteps(),
        message.getEstimatedTotalSteps(),
        duration(message.getElapsed()),
        message.hasEstimatedRemaining()
            ? Optional.of(duration(message.getEstimatedRemaining()))
            : Optional.empty(),
        message.getMessage());
  }

  static Checkpoint checkpoint(io.github.autopilotjobs.v1.Checkpoint message) {
    return new Checkpoint(
        message.getCheckpointId(),
        message.getParentCheckpointId(),
        message.getSuperstep(),
        message.getSource(),
        List.copyOf(message.getNextStepsList()),
        instant(message.getCreateTime()),
        Payloads.value(message.getValues()));
  }

  static Workflow workflow(io.github.autopilotjobs.v1.Workflow message) {
    return new Workflow(
        message.getName(),
        message.getDescription(),
        message.getRevision(),
        message.hasInputSchema() ? Payloads.value(message.getInputSchema()) : Value.MISSING,
        message.hasOutputSchema() ? Payloads.value(message.getOutputSchema()) : Value.MISSING,
        List.copyOf(message.getStepsList()),
        message.getMermaid(),
        message.getMaxRunningJobs(),
        message.getMaxRunningJobsPerKey());
  }

  // --- events ---

  static Event event(ProgressEvent message) {
    return new Event(
        message.getJobId(),
        message.getSequence(),
        instant(message.getEventTime()),
        message.getAttempt(),
        progress(message.getProgress()),
        kind(message));
  }

  private static EventKind kind(ProgressEvent message) {
    return switch (message.getKindCase()) {
      case STATE_CHANGED -> stateChanged(message.getStateChanged());
      case STEP_STARTED ->
          new EventKind.StepStarted(
              message.getStepStarted().getStep(), message.getStepStarted().getStepRunId());
      case STEP_FINISHED -> stepFinished(message.getStepFinished());
      case STEP_FAILED -> stepFailed(message.getStepFailed());
      case INTERRUPT_RAISED ->
          new EventKind.InterruptRaised(interrupt(message.getInterruptRaised().getInterrupt()));
      case PROGRESS_REPORTED -> progressReported(message.getProgressReported());
      case CHECKPOINT_SAVED -> checkpointSaved(message.getCheckpointSaved());
      case TOKEN_CHUNK -> tokenChunk(message.getTokenChunk());
      case KIND_NOT_SET -> new EventKind.Unknown();
    };
  }

  private static EventKind stateChanged(io.github.autopilotjobs.v1.StateChanged message) {
    return new EventKind.StateChanged(
        state(message.getFrom()),
        state(message.getTo()),
        message.hasError() ? Optional.of(error(message.getError())) : Optional.empty());
  }

  private static EventKind stepFinished(io.github.autopilotjobs.v1.StepFinished message) {
    return new EventKind.StepFinished(
        message.getStep(),
        message.getStepRunId(),
        Payloads.value(message.getUpdate()),
        duration(message.getDuration()));
  }

  private static EventKind stepFailed(io.github.autopilotjobs.v1.StepFailed message) {
    return new EventKind.StepFailed(
        message.getStep(),
        message.getStepRunId(),
        error(message.getError()),
        duration(message.getDuration()));
  }

  private static EventKind progressReported(io.github.autopilotjobs.v1.ProgressReported message) {
    return new EventKind.ProgressReported(
        message.getStep(),
        message.getMessage(),
        message.hasFraction() ? OptionalDouble.of(message.getFraction()) : OptionalDouble.empty(),
        Payloads.value(message.getData()),
        message.getDropped());
  }

  private static EventKind checkpointSaved(io.github.autopilotjobs.v1.CheckpointSaved message) {
    return new EventKind.CheckpointSaved(
        message.getCheckpointId(), message.getSuperstep(), List.copyOf(message.getNextStepsList()));
  }

  private static EventKind tokenChunk(io.github.autopilotjobs.v1.TokenChunk message) {
    return new EventKind.TokenChunk(message.getStep(), message.getMessageId(), message.getText());
  }

  // --- times ---

  static Instant instant(Timestamp message) {
    return Instant.ofEpochSecond(message.getSeconds(), message.getNanos());
  }

  private static Optional<Instant> optional(boolean has, Timestamp message) {
    return has ? Optional.of(instant(message)) : Optional.empty();
  }

  static Timestamp message(Instant time) {
    return Timestamp.newBuilder()
        .setSeconds(time.getEpochSecond())
        .setNanos(time.getNano())
        .build();
  }

  static Duration duration(com.google.protobuf.Duration message) {
    return Duration.ofSeconds(message.getSeconds(), message.getNanos());
  }

  static com.google.protobuf.Duration message(Duration span) {
    // Seconds and nanoseconds of one sign, as the contract wants it; Java's are of two below zero.
    boolean borrow = span.getSeconds() < 0 && span.getNano() > 0;
    return com.google.protobuf.Duration.newBuilder()
        .setSeconds(borrow ? span.getSeconds() + 1 : span.getSeconds())
        .setNanos(borrow ? span.getNano() - 1_000_000_000 : span.getNano())
        .build();
  }
}
