package io.github.autopilotjobs.client.errors;

/** The question is not open. */
public final class InterruptNotPendingException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public InterruptNotPendingException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
