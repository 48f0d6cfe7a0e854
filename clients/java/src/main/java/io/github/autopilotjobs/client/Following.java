package io.github.autopilotjobs.client;

import io.github.autopilotjobs.client.errors.CallFailedException;
import io.grpc.Context;

/**
 * A job that is watched until it rests: is finished, or INTERRUPTED now and not only at some time
 * in its past.
 */
final class Following {
  private final AutopilotClient client;
  private final FollowOptions options;
  private long sequence;
  private Job job;

  Following(AutopilotClient client, FollowOptions options) {
    this.client = client;
    this.options = options;
    sequence = options.afterSequence();
  }

  Job follow(String jobId) {
    job = read(jobId);
    while (!isOver()) {
      watch(jobId);
      job = read(jobId);
    }
    return job;
  }

  /** Reads the job, as patiently as a watch. */
  private Job read(String jobId) {
    Patience patience = new Patience(options.reconnectFor(), client.open());
    while (true) {
      try {
        return client.get(jobId);
      } catch (CallFailedException error) {
        patience.bear(error, Context.current());
      }
    }
  }

  /** The job rests, and everything that led there was seen. */
  private boolean isOver() {
    return job.state().isResting() && sequence == job.latestSequence();
  }

  /** Watches from where it was until the job has to be read again. */
  private void watch(String jobId) {
    try (Watch watch = client.watch(jobId, options.watchAfter(sequence))) {
      for (Event event : watch) {
        sequence = Math.max(sequence, event.sequence());
        options.accept(event);
        if (mayBeInterrupted(event)) {
          return;
        }
      }
    }
  }

  /** The end of a finished job needs no care: its watch ends by itself. */
  private boolean mayBeInterrupted(Event event) {
    boolean maybe =
        job.state() == JobState.INTERRUPTED
            || event.kind() instanceof EventKind.StateChanged changed
                && changed.to() == JobState.INTERRUPTED;
    return maybe && sequence >= job.latestSequence();
  }
}
