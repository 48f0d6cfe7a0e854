package io.github.autopilotjobs.client;

/** The job FAILED. */
public final class JobFailedException extends JobEndedException {
  private static final long serialVersionUID = 1L;

  public JobFailedException(Job job) {
    super(job);
  }
}
