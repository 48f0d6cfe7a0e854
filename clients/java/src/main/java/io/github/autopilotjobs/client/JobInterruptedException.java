package io.github.autopilotjobs.client;

/** The job waits for answers to {@link Job#interrupts()}. */
public final class JobInterruptedException extends JobEndedException {
  private static final long serialVersionUID = 1L;

  public JobInterruptedException(Job job) {
    super(job);
  }
}
