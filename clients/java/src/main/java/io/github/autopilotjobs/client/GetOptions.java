package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.GetStatusRequest;
import io.github.autopilotjobs.v1.PayloadFormat;
import io.github.autopilotjobs.v1.View;
import java.time.Duration;

/** How to read a job. */
public final class GetOptions {
  private final GetStatusRequest request;

  private GetOptions(GetStatusRequest request) {
    this.request = request;
  }

  public static Builder builder() {
    return new Builder();
  }

  GetStatusRequest request(String jobId) {
    return request.toBuilder().setJobId(jobId).build();
  }

  /** What the server may wait, on top of a call's own time. */
  Duration waiting() {
    return Conversions.duration(request.getWaitTimeout());
  }

  /** What may be said. */
  public static final class Builder {
    private final GetStatusRequest.Builder request =
        GetStatusRequest.newBuilder()
            .setView(View.VIEW_FULL)
            .setPayloadFormat(PayloadFormat.PAYLOAD_FORMAT_JSON_TEXT);

    private Builder() {}

    /**
     * Waits for the job to be finished or INTERRUPTED, at most this long; that it is not by then is
     * no error.
     */
    public Builder waitAtMost(Duration span) {
      request.setWaitTimeout(Conversions.message(span));
      return this;
    }

    /** Whether to read the payloads as well: true unless it is said. */
    public Builder payloads(boolean payloads) {
      request.setView(payloads ? View.VIEW_FULL : View.VIEW_BASIC);
      return this;
    }

    public GetOptions build() {
      return new GetOptions(request.build());
    }
  }
}
