package io.github.autopilotjobs.client;

import io.github.autopilotjobs.client.errors.AutopilotException;

/** A job that was run did not succeed. */
public abstract sealed class JobEndedException extends AutopilotException
    permits JobFailedException, JobCancelledException, JobInterruptedException {
  private static final long serialVersionUID = 1L;

  // What happened is in the message as well, wherever the exception is sent.
  private final transient Job job;

  JobEndedException(Job job) {
    super(text(job), null);
    this.job = job;
  }

  static JobEndedException of(Job job) {
    return switch (job.state()) {
      case CANCELLED -> new JobCancelledException(job);
      case INTERRUPTED -> new JobInterruptedException(job);
      default -> new JobFailedException(job);
    };
  }

  private static String text(Job job) {
    String state = "job " + job.jobId() + " is " + job.state();
    return job.error().map(error -> state + ": " + error.message()).orElse(state);
  }

  /** {@return the job, as it ended} */
  public final Job job() {
    return job;
  }
}
