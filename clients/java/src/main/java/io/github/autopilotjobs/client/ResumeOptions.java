package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.ResumeRequest;
import java.util.UUID;

/** How to continue a job: with answers to its questions, or from an earlier or edited state. */
public final class ResumeOptions {
  private final ResumeRequest request;

  private ResumeOptions(ResumeRequest request) {
    this.request = request;
  }

  public static Builder builder() {
    return new Builder();
  }

  /** The request: with an id of its own, so that a retry of it does nothing. */
  ResumeRequest request(String jobId) {
    ResumeRequest.Builder builder = request.toBuilder().setJobId(jobId);
    if (builder.getRequestId().isEmpty()) {
      builder.setRequestId(UUID.randomUUID().toString());
    }
    return builder.build();
  }

  /** What may be said. */
  public static final class Builder {
    private final ResumeRequest.Builder request = ResumeRequest.newBuilder();

    private Builder() {}

    /**
     * Answers the only open question, with whatever Jackson writes as JSON; null is JSON's null.
     *
     * @throws IllegalArgumentException when JSON has not got it
     */
    public Builder answer(Object answer) {
      request.setAnswer(Payloads.of(answer));
      return this;
    }

    /** Answers one question of several, by its {@link Interrupt#interruptId()}. */
    public Builder answer(String interruptId, Object answer) {
      request.putAnswers(interruptId, Payloads.of(answer));
      return this;
    }

    /** Makes a repeated resume do nothing. Each resume has one of its own unless it is said. */
    public Builder requestId(String requestId) {
      request.setRequestId(requestId);
      return this;
    }

    /** Only the job that has this etag. */
    public Builder etag(String etag) {
      request.setEtag(etag);
      return this;
    }

    /** Continue from this earlier checkpoint. */
    public Builder checkpointId(String checkpointId) {
      request.setCheckpointId(checkpointId);
      return this;
    }

    /** Apply this update to the state first. */
    public Builder stateUpdate(Object update) {
      request.setStateUpdate(Payloads.of(update));
      return this;
    }

    /** The step that the update is attributed to. */
    public Builder stateUpdateStep(String step) {
      request.setStateUpdateStep(step);
      return this;
    }

    public ResumeOptions build() {
      return new ResumeOptions(request.build());
    }
  }
}
