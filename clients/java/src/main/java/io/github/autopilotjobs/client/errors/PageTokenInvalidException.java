package io.github.autopilotjobs.client.errors;

/** The page token is not the server's, or for another filter. */
public final class PageTokenInvalidException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public PageTokenInvalidException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
