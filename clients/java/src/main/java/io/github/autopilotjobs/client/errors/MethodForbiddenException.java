package io.github.autopilotjobs.client.errors;

/** Who calls may not. */
public final class MethodForbiddenException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public MethodForbiddenException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
