package io.github.autopilotjobs.client;

import java.time.Instant;
import java.util.Map;
import java.util.stream.Stream;

/** Which jobs: all that is said must hold. */
public final class JobFilter {
  private final io.github.autopilotjobs.v1.JobFilter message;

  private JobFilter(io.github.autopilotjobs.v1.JobFilter message) {
    this.message = message;
  }

  /** {@return the filter of all jobs} */
  public static JobFilter all() {
    return builder().build();
  }

  public static Builder builder() {
    return new Builder();
  }

  io.github.autopilotjobs.v1.JobFilter message() {
    return message;
  }

  /** What a filter may say. */
  public static final class Builder {
    private final io.github.autopilotjobs.v1.JobFilter.Builder message =
        io.github.autopilotjobs.v1.JobFilter.newBuilder();

    private Builder() {}

    /** Any of these states. */
    public Builder states(JobState... states) {
      message.addAllStates(Stream.of(states).map(Conversions::message).toList());
      return this;
    }

    public Builder workflow(String workflow) {
      message.setWorkflow(workflow);
      return this;
    }

    public Builder threadId(String threadId) {
      message.setThreadId(threadId);
      return this;
    }

    public Builder label(String key, String value) {
      message.putLabels(key, value);
      return this;
    }

    /** All of these labels, with exactly these values. */
    public Builder labels(Map<String, String> labels) {
      message.putAllLabels(labels);
      return this;
    }

    /** At this time or after it. */
    public Builder createdAfter(Instant time) {
      message.setCreatedAfter(Conversions.message(time));
      return this;
    }

    /** Before this time. */
    public Builder createdBefore(Instant time) {
      message.setCreatedBefore(Conversions.message(time));
      return this;
    }

    public JobFilter build() {
      return new JobFilter(message.build());
    }
  }
}
