package io.github.autopilotjobs.client.errors;

/** Another unfinished job uses the thread. */
public final class ThreadBusyException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public ThreadBusyException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
