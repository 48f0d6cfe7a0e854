package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.DeleteJobRequest;

/** How to delete. */
public final class DeleteOptions {
  private final DeleteJobRequest request;

  private DeleteOptions(DeleteJobRequest request) {
    this.request = request;
  }

  public static Builder builder() {
    return new Builder();
  }

  DeleteJobRequest request(String jobId) {
    return request.toBuilder().setJobId(jobId).build();
  }

  /** What may be said. */
  public static final class Builder {
    private final DeleteJobRequest.Builder request = DeleteJobRequest.newBuilder();

    private Builder() {}

    /** Only the job that has this etag. */
    public Builder etag(String etag) {
      request.setEtag(etag);
      return this;
    }

    /** That there is no such job is no error. */
    public Builder allowMissing() {
      request.setAllowMissing(true);
      return this;
    }

    public DeleteOptions build() {
      return new DeleteOptions(request.build());
    }
  }
}
