package io.github.autopilotjobs.client.errors;

/**
 * The call was cancelled: the thread was interrupted, which {@link Thread#isInterrupted()} still
 * says, or its gRPC context was cancelled. The job goes on.
 */
public final class CallCancelledException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public CallCancelledException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
