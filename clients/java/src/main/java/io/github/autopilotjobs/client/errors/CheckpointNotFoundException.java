package io.github.autopilotjobs.client.errors;

/** The job has no such checkpoint. */
public final class CheckpointNotFoundException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public CheckpointNotFoundException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
