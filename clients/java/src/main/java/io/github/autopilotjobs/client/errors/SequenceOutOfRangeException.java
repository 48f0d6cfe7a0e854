package io.github.autopilotjobs.client.errors;

/** The place to watch from is not in the log. */
public final class SequenceOutOfRangeException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public SequenceOutOfRangeException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
