package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.PruneJobsRequest;
import java.time.Duration;

/** What to prune. */
public final class PruneOptions {
  private final PruneJobsRequest request;

  private PruneOptions(PruneJobsRequest request) {
    this.request = request;
  }

  public static Builder builder() {
    return new Builder();
  }

  PruneJobsRequest request(Duration finishedFor) {
    return request.toBuilder().setFinishedFor(Conversions.message(finishedFor)).build();
  }

  /** What may be said. */
  public static final class Builder {
    private final PruneJobsRequest.Builder request = PruneJobsRequest.newBuilder();

    private Builder() {}

    /** Only jobs that match. */
    public Builder filter(JobFilter filter) {
      request.setFilter(filter.message());
      return this;
    }

    /** Keep the jobs and their newest checkpoints, delete the older checkpoints. */
    public Builder checkpointsOnly() {
      request.setCheckpointsOnly(true);
      return this;
    }

    /** Count, delete nothing. */
    public Builder dryRun() {
      request.setDryRun(true);
      return this;
    }

    public PruneOptions build() {
      return new PruneOptions(request.build());
    }
  }
}
