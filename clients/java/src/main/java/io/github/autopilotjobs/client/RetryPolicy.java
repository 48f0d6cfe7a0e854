package io.github.autopilotjobs.client;

import java.time.Duration;

/** How a job's failed attempts are repeated. What is not said is the server's default. */
public final class RetryPolicy {
  private final io.github.autopilotjobs.v1.RetryPolicy message;

  private RetryPolicy(io.github.autopilotjobs.v1.RetryPolicy message) {
    this.message = message;
  }

  public static Builder builder() {
    return new Builder();
  }

  io.github.autopilotjobs.v1.RetryPolicy message() {
    return message;
  }

  /** What a policy may say. */
  public static final class Builder {
    private final io.github.autopilotjobs.v1.RetryPolicy.Builder message =
        io.github.autopilotjobs.v1.RetryPolicy.newBuilder();

    private Builder() {}

    /** Including the first; 1: never repeat. */
    public Builder maxAttempts(int attempts) {
      message.setMaxAttempts(attempts);
      return this;
    }

    public Builder initialBackoff(Duration backoff) {
      message.setInitialBackoff(Conversions.message(backoff));
      return this;
    }

    public Builder maxBackoff(Duration backoff) {
      message.setMaxBackoff(Conversions.message(backoff));
      return this;
    }

    public Builder backoffMultiplier(double multiplier) {
      message.setBackoffMultiplier(multiplier);
      return this;
    }

    public RetryPolicy build() {
      return new RetryPolicy(message.build());
    }
  }
}
