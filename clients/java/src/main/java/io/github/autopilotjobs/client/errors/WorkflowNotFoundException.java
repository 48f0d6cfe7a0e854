package io.github.autopilotjobs.client.errors;

/** There is no such workflow. */
public final class WorkflowNotFoundException extends CallFailedException {
  private static final long serialVersionUID = 1L;

  public WorkflowNotFoundException(CallFailure failure, Throwable cause) {
    super(failure, cause);
  }
}
