package io.github.autopilotjobs.client.errors;

/** The job id is taken. */
public final class JobAlreadyExistsException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public JobAlreadyExistsException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
