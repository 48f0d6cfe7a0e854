package io.github.autopilotjobs.client.errors;

/** The server failed; the metadata's {@code error_id} finds it in its log. */
public final class InternalErrorException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public InternalErrorException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
