package io.github.autopilotjobs.client.errors;

/** Not possible in the job's state. */
public final class JobStateConflictException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public JobStateConflictException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
