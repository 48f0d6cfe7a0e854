package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.SubmitJobRequest;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** A job to submit. What is not said is the server's default. */
public final class Submission {
  private final SubmitJobRequest request;

  private Submission(SubmitJobRequest request) {
    this.request = request;
  }

  /** Begins a submission of a job of a workflow. */
  public static Builder builder(String workflow) {
    return new Builder(workflow);
  }

  /** The request: with an id of its own, so that a retry of it does nothing. */
  SubmitJobRequest request() {
    return request.getRequestId().isEmpty()
        ? request.toBuilder().setRequestId(UUID.randomUUID().toString()).build()
        : request;
  }

  /** What a submission may say. */
  public static final class Builder {
    private final SubmitJobRequest.Builder request = SubmitJobRequest.newBuilder();

    private Builder(String workflow) {
      request.setWorkflow(workflow);
    }

    /**
     * The input: whatever Jackson writes as JSON. Null is JSON's null; no input is not to call
     * this.
     *
     * @throws IllegalArgumentException when JSON has not got it
     */
    public Builder input(Object input) {
      request.setInput(Payloads.of(input));
      return this;
    }

    public Builder jobId(String jobId) {
      request.setJobId(jobId);
      return this;
    }

    /** Makes a repeated submission do nothing. Each submit has one of its own unless it is said. */
    public Builder requestId(String requestId) {
      request.setRequestId(requestId);
      return this;
    }

    /** The LangGraph thread whose saved state the job continues. */
    public Builder threadId(String threadId) {
      request.setThreadId(threadId);
      return this;
    }

    public Builder label(String key, String value) {
      request.putLabels(key, value);
      return this;
    }

    public Builder labels(Map<String, String> labels) {
      request.putAllLabels(labels);
      return this;
    }

    /** Do not start before this time. */
    public Builder scheduledTime(Instant time) {
      request.setScheduledTime(Conversions.message(time));
      return this;
    }

    /** 0 to 9, larger runs first. */
    public Builder priority(int priority) {
      request.setPriority(priority);
      return this;
    }

    /** Fail the job when it has been RUNNING for this long, all attempts together. */
    public Builder executionTimeout(Duration timeout) {
      request.setExecutionTimeout(Conversions.message(timeout));
      return this;
    }

    public Builder retryPolicy(RetryPolicy policy) {
      request.setRetryPolicy(policy.message());
      return this;
    }

    /** Keep the job for this long once it is finished. */
    public Builder retention(Duration retention) {
      request.setRetention(Conversions.message(retention));
      return this;
    }

    /** Steps before which the job becomes INTERRUPTED; {@code "*"}: each. */
    public Builder interruptBefore(String... steps) {
      request.addAllInterruptBefore(List.of(steps));
      return this;
    }

    /** Steps after which the job becomes INTERRUPTED; {@code "*"}: each. */
    public Builder interruptAfter(String... steps) {
      request.addAllInterruptAfter(List.of(steps));
      return this;
    }

    /** LangGraph's run-time context, as JSON. */
    public Builder context(Object context) {
      request.setContext(Payloads.of(context));
      return this;
    }

    /** Supersteps that an attempt may take. */
    public Builder stepLimit(int limit) {
      request.setStepLimit(limit);
      return this;
    }

    /** Only so many jobs with it run at once as the workflow says. */
    public Builder concurrencyKey(String key) {
      request.setConcurrencyKey(key);
      return this;
    }

    /** Start from a copy of another job's newest checkpoint. */
    public Builder forkFrom(String jobId) {
      request.getForkFromBuilder().setJobId(jobId);
      return this;
    }

    /** Start from a copy of another job's checkpoint. */
    public Builder forkFrom(String jobId, String checkpointId) {
      request.getForkFromBuilder().setJobId(jobId).setCheckpointId(checkpointId);
      return this;
    }

    public Submission build() {
      return new Submission(request.build());
    }
  }
}
