package io.github.autopilotjobs.client.errors;

/** Who calls is not known. */
public final class CredentialsInvalidException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public CredentialsInvalidException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
