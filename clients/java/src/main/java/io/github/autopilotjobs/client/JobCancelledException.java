package io.github.autopilotjobs.client;

/** The job was CANCELLED. */
public final class JobCancelledException extends JobEndedException {
  private static final long serialVersionUID = 1L;

  public JobCancelledException(Job job) {
    super(job);
  }
}
