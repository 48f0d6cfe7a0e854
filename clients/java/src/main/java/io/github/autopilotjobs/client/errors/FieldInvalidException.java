package io.github.autopilotjobs.client.errors;

/** The request is out of form; {@link #violations()} has everything that is wrong. */
public final class FieldInvalidException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public FieldInvalidException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
