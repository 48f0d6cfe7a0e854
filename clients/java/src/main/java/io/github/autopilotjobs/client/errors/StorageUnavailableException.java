package io.github.autopilotjobs.client.errors;

/** The server's database is away. */
public final class StorageUnavailableException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public StorageUnavailableException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
