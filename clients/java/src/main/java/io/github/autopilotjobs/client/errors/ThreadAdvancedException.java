package io.github.autopilotjobs.client.errors;

/** A newer job has gone on with the thread. */
public final class ThreadAdvancedException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public ThreadAdvancedException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
