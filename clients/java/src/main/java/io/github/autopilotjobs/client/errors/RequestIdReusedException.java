package io.github.autopilotjobs.client.errors;

/** The request id was used for something else. */
public final class RequestIdReusedException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public RequestIdReusedException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
