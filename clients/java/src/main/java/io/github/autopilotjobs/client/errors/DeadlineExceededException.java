package io.github.autopilotjobs.client.errors;

/** The call did not end in the time that it had. */
public final class DeadlineExceededException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public DeadlineExceededException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
