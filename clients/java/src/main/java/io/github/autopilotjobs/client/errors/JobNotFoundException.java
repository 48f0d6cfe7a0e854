package io.github.autopilotjobs.client.errors;

/** There is no such job. */
public final class JobNotFoundException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public JobNotFoundException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
