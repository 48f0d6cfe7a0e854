package io.github.autopilotjobs.client;

/** The state of a job. */
public enum JobState {
  /** One that this client does not know. */
  UNKNOWN,
  /** Waits for a worker, for its time, or for the next attempt. */
  PENDING,
  RUNNING,
  /** Waits for answers. */
  INTERRUPTED,
  /** Was cancelled, and its steps have not stopped yet. */
  CANCELLING,
  SUCCEEDED,
  FAILED,
  CANCELLED;

  /** {@return whether nothing more happens unless somebody resumes the job} */
  public boolean isFinished() {
    return this == SUCCEEDED || this == FAILED || this == CANCELLED;
  }

  /** {@return whether the job is finished, or waits for answers} */
  public boolean isResting() {
    return isFinished() || this == INTERRUPTED;
  }
}
