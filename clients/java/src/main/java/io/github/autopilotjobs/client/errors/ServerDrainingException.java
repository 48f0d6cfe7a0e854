package io.github.autopilotjobs.client.errors;

/** The server is stopping. */
public final class ServerDrainingException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public ServerDrainingException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
