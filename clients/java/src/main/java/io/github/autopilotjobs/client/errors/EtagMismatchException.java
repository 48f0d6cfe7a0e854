package io.github.autopilotjobs.client.errors;

/** The job has changed meanwhile. */
public final class EtagMismatchException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public EtagMismatchException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
