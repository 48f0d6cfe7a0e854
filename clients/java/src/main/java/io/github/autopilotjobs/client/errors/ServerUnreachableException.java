package io.github.autopilotjobs.client.errors;

/** No server answered. */
public final class ServerUnreachableException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public ServerUnreachableException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
