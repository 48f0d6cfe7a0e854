package io.github.autopilotjobs.client.errors;

/** The server is full. */
public final class LimitExceededException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public LimitExceededException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
