package io.github.autopilotjobs.client.errors;

/** A JSON value is over the server's limit. */
public final class PayloadTooLargeException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public PayloadTooLargeException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
