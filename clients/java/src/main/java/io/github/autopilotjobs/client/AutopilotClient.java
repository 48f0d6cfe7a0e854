package io.github.autopilotjobs.client;

import io.github.autopilotjobs.client.errors.AutopilotException;
import io.github.autopilotjobs.v1.JobServiceGrpc.JobServiceBlockingStub;
import io.github.autopilotjobs.v1.ListCheckpointsRequest;
import io.github.autopilotjobs.v1.ListJobsRequest;
import io.github.autopilotjobs.v1.ListWorkflowsRequest;
import io.github.autopilotjobs.v1.PayloadFormat;
import io.grpc.Context;
import java.time.Duration;
import java.util.concurrent.Flow;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Submits, watches and controls jobs. It is safe for use by several threads; one for a program is
 * enough.
 *
 * <p>Calls block until they are answered: 30 s unless {@link ClientBuilder#timeout} or {@link
 * #withTimeout} says otherwise, or gRPC's {@link io.grpc.Context} ends before. They are repeated
 * while the server is unavailable. They throw {@link AutopilotException}s, and {@link
 * IllegalStateException} when the client is closed. An interrupt of the thread ends a call with
 * {@link io.github.autopilotjobs.client.errors.CallCancelledException}.
 */
public final class AutopilotClient implements AutoCloseable {
  private static final GetOptions GET = GetOptions.builder().build();
  private static final ListOptions LIST = ListOptions.builder().build();
  private static final WatchOptions WATCH = WatchOptions.builder().build();

  private final Connection connection;
  private final Duration timeout;

  AutopilotClient(Connection connection, Duration timeout) {
    this.connection = connection;
    this.timeout = timeout;
  }

  /**
   * A client of the server at an address, {@code "host:port"}, over plain text, without a token.
   */
  public static AutopilotClient create(String address) {
    return builder(address).build();
  }

  /** Begins a client of the server at an address, {@code "host:port"}. */
  public static ClientBuilder builder(String address) {
    return new ClientBuilder(address);
  }

  /**
   * This client, with another time for each call. It shares the connection: closing one is enough.
   */
  public AutopilotClient withTimeout(Duration timeout) {
    return new AutopilotClient(connection, timeout);
  }

  /** Is cancelled by close. */
  Context open() {
    return connection.open();
  }

  /** Ends what is open. The client cannot be used any more. */
  @Override
  public void close() {
    connection.close();
  }

  // --- jobs ---

  /** Submits a job with an input, whatever Jackson writes as JSON; see {@link Submission}. */
  public Job submit(String workflow, Object input) {
    return submit(Submission.builder(workflow).input(input).build());
  }

  /** Submits a job, and returns it once it is durable. */
  public Job submit(Submission submission) {
    var request = submission.request();
    var response = call(stub -> stub.submitJob(request));
    return Conversions.job(response.getJob(), response.getDeduplicated());
  }

  /** Reads a job, with its payloads. */
  public Job get(String jobId) {
    return get(jobId, GET);
  }

  /** Reads a job, or waits for it. */
  public Job get(String jobId, GetOptions options) {
    var request = options.request(jobId);
    Duration span = timeout.plus(options.waiting());
    return Conversions.job(connection.call(span, stub -> stub.getStatus(request)).getJob(), false);
  }

  /** Asks a job to stop. */
  public Job cancel(String jobId) {
    return cancel(jobId, CancelOptions.builder().build());
  }

  /** Asks a job to stop. */
  public Job cancel(String jobId, CancelOptions options) {
    var request = options.request(jobId);
    return Conversions.job(call(stub -> stub.cancel(request)).getJob(), false);
  }

  /** Continues a job that is INTERRUPTED, FAILED or CANCELLED. */
  public Job resume(String jobId) {
    return resume(jobId, ResumeOptions.builder().build());
  }

  /**
   * Continues a job that is INTERRUPTED, FAILED or CANCELLED: with answers to its questions, or
   * from an earlier or edited state.
   */
  public Job resume(String jobId, ResumeOptions options) {
    var request = options.request(jobId);
    var response = call(stub -> stub.resume(request));
    return Conversions.job(response.getJob(), response.getDeduplicated());
  }

  /** Deletes a finished job, its events and its checkpoints. */
  public void delete(String jobId) {
    delete(jobId, DeleteOptions.builder().build());
  }

  /** Deletes a finished job, its events and its checkpoints. */
  public void delete(String jobId, DeleteOptions options) {
    var request = options.request(jobId);
    call(stub -> stub.deleteJob(request));
  }

  /** Deletes what jobs left behind that were finished at least this long ago. */
  public Pruned prune(Duration finishedFor, PruneOptions options) {
    var request = options.request(finishedFor);
    var response = call(stub -> stub.pruneJobs(request));
    return new Pruned(response.getDeletedJobs(), response.getDeletedCheckpoints());
  }

  // --- watching ---

  /** Watches a job from its beginning. Nothing is called before the first event is asked for. */
  public Watch watch(String jobId) {
    return watch(jobId, WATCH);
  }

  /** Watches a job. Nothing is called before the first event is asked for. */
  public Watch watch(String jobId, WatchOptions options) {
    return new Watch(connection, jobId, options);
  }

  /**
   * A job's events for reactive code: each subscriber has a watch, and a thread, of its own; no
   * more is read than it requests, but for the response that the next event is in.
   */
  public Flow.Publisher<Event> publisher(String jobId, WatchOptions options) {
    return subscriber -> WatchSubscription.start(() -> watch(jobId, options), subscriber);
  }

  /** Watches a job until it is finished or INTERRUPTED, and returns it as it then is. */
  public Job follow(String jobId) {
    return follow(jobId, FollowOptions.builder().build());
  }

  /**
   * Watches a job until it is finished or INTERRUPTED, and returns it as it then is. An INTERRUPTED
   * of its past, which was resumed since, is an event like the others.
   */
  public Job follow(String jobId, FollowOptions options) {
    return new Following(this, options).follow(jobId);
  }

  /** Submits a job with an input, follows it, and returns its output. */
  public Value run(String workflow, Object input) {
    return run(Submission.builder(workflow).input(input).build());
  }

  /** Submits a job, follows it, and returns its output. */
  public Value run(Submission submission) {
    return run(submission, event -> {});
  }

  /**
   * Submits a job, follows it, and returns its output; {@code onEvent} is called with each event.
   * When the thread is interrupted, the job goes on: who wants it to end cancels it.
   *
   * @throws JobEndedException when the job does not succeed
   */
  public Value run(Submission submission, Consumer<Event> onEvent) {
    String jobId = submit(submission).jobId();
    Job job = follow(jobId, FollowOptions.builder().onEvent(onEvent).build());
    if (job.state() != JobState.SUCCEEDED) {
      throw JobEndedException.of(job);
    }
    return job.output();
  }

  // --- lists ---

  /** All jobs that match, newest first, without their payloads. Read page by page as it goes on. */
  public Stream<Job> list(JobFilter filter) {
    return list(filter, LIST);
  }

  /** All jobs that match, newest first. Read page by page as it goes on. */
  public Stream<Job> list(JobFilter filter, ListOptions options) {
    var request =
        ListJobsRequest.newBuilder()
            .setFilter(filter.message())
            .setPageSize(options.pageSize())
            .setView(options.view())
            .setPayloadFormat(PayloadFormat.PAYLOAD_FORMAT_JSON_TEXT)
            .build();
    return Pages.stream(
        token -> {
          var page = request.toBuilder().setPageToken(token).build();
          var response = call(stub -> stub.listJobs(page));
          var jobs = response.getJobsList().stream().map(job -> Conversions.job(job, false));
          return new Pages.Page<>(jobs.toList(), response.getNextPageToken());
        });
  }

  /** A job's checkpoints, newest first, without their values. */
  public Stream<Checkpoint> checkpoints(String jobId) {
    return checkpoints(jobId, LIST);
  }

  /** A job's checkpoints, newest first. Read page by page as it goes on. */
  public Stream<Checkpoint> checkpoints(String jobId, ListOptions options) {
    var request =
        ListCheckpointsRequest.newBuilder()
            .setJobId(jobId)
            .setPageSize(options.pageSize())
            .setView(options.view())
            .setPayloadFormat(PayloadFormat.PAYLOAD_FORMAT_JSON_TEXT)
            .build();
    return Pages.stream(
        token -> {
          var page = request.toBuilder().setPageToken(token).build();
          var response = call(stub -> stub.listCheckpoints(page));
          var checkpoints = response.getCheckpointsList().stream().map(Conversions::checkpoint);
          return new Pages.Page<>(checkpoints.toList(), response.getNextPageToken());
        });
  }

  /** The workflows that the server can run. */
  public Stream<Workflow> workflows() {
    var request = ListWorkflowsRequest.newBuilder().setPageSize(Pages.DEFAULT_SIZE).build();
    return Pages.stream(
        token -> {
          var page = request.toBuilder().setPageToken(token).build();
          var response = call(stub -> stub.listWorkflows(page));
          var workflows = response.getWorkflowsList().stream().map(Conversions::workflow);
          return new Pages.Page<>(workflows.toList(), response.getNextPageToken());
        });
  }

  private <T> T call(Function<JobServiceBlockingStub, T> method) {
    return connection.call(timeout, method);
  }
}
