package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.CancelRequest;
import java.time.Duration;

/** How to cancel. What is not said is the server's default. */
public final class CancelOptions {
  private final CancelRequest request;

  private CancelOptions(CancelRequest request) {
    this.request = request;
  }

  public static Builder builder() {
    return new Builder();
  }

  CancelRequest request(String jobId) {
    return request.toBuilder().setJobId(jobId).build();
  }

  /** What may be said. */
  public static final class Builder {
    private final CancelRequest.Builder request = CancelRequest.newBuilder();

    private Builder() {}

    /** For people. */
    public Builder reason(String reason) {
      request.setReason(reason);
      return this;
    }

    /** Only the job that has this etag. */
    public Builder etag(String etag) {
      request.setEtag(etag);
      return this;
    }

    /** How long running steps may go on; zero: not at all. */
    public Builder gracePeriod(Duration period) {
      request.setGracePeriod(Conversions.message(period));
      return this;
    }

    public CancelOptions build() {
      return new CancelOptions(request.build());
    }
  }
}
