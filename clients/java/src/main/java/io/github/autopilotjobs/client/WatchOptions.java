package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.PayloadFormat;
import io.github.autopilotjobs.v1.WatchProgressRequest;
import java.time.Duration;

/** How to watch. */
public final class WatchOptions {
  private final WatchProgressRequest request;
  private final Duration reconnectFor;

  private WatchOptions(WatchProgressRequest request, Duration reconnectFor) {
    this.request = request;
    this.reconnectFor = reconnectFor;
  }

  public static Builder builder() {
    return new Builder();
  }

  WatchProgressRequest request(String jobId) {
    return request.toBuilder().setJobId(jobId).build();
  }

  Duration reconnectFor() {
    return reconnectFor;
  }

  /** What may be said. */
  public static final class Builder {
    private final WatchProgressRequest.Builder request =
        WatchProgressRequest.newBuilder().setPayloadFormat(PayloadFormat.PAYLOAD_FORMAT_JSON_TEXT);
    private Duration reconnectFor = Patience.DEFAULT;

    private Builder() {}

    /** Only stored events after this one. */
    public Builder afterSequence(long sequence) {
      request.setAfterSequence(sequence);
      return this;
    }

    /** End the watch once all stored events were seen. */
    public Builder stopWhenCaughtUp() {
      request.setStopWhenCaughtUp(true);
      return this;
    }

    /** Also {@link EventKind.TokenChunk} events, which are not stored. */
    public Builder tokens() {
      request.setIncludeTokens(true);
      return this;
    }

    /**
     * How long a break may last before its error ends the watch: five minutes unless it is said;
     * zero: every break does.
     */
    public Builder reconnectFor(Duration span) {
      reconnectFor = span;
      return this;
    }

    public WatchOptions build() {
      return new WatchOptions(request.build(), reconnectFor);
    }
  }
}
