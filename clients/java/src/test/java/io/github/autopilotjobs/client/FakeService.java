package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.GetStatusRequest;
import io.github.autopilotjobs.v1.GetStatusResponse;
import io.github.autopilotjobs.v1.Job;
import io.github.autopilotjobs.v1.JobServiceGrpc;
import io.github.autopilotjobs.v1.JobState;
import io.github.autopilotjobs.v1.ListJobsRequest;
import io.github.autopilotjobs.v1.ListJobsResponse;
import io.github.autopilotjobs.v1.ProgressEvent;
import io.github.autopilotjobs.v1.StateChanged;
import io.github.autopilotjobs.v1.SubmitJobRequest;
import io.github.autopilotjobs.v1.SubmitJobResponse;
import io.github.autopilotjobs.v1.WatchProgressRequest;
import io.github.autopilotjobs.v1.WatchProgressResponse;
import io.grpc.Context;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;
import java.util.stream.LongStream;

/** A service in this process that answers as it is told, each answer once and in order. */
final class FakeService extends JobServiceGrpc.JobServiceImplBase implements AutoCloseable {
  final Queue<Object> requests = new ConcurrentLinkedQueue<>();
  final Queue<Context> contexts = new ConcurrentLinkedQueue<>();
  final CountDownLatch called = new CountDownLatch(1);
  final CountDownLatch cancelled = new CountDownLatch(1);

  private final Deque<Consumer<StreamObserver<WatchProgressResponse>>> watches = new ArrayDeque<>();
  private final Deque<Consumer<StreamObserver<GetStatusResponse>>> gets = new ArrayDeque<>();
  private final Deque<Status> refusals = new ArrayDeque<>();
  private final Server server;

  FakeService() throws IOException {
    String name = InProcessServerBuilder.generateName();
    server = InProcessServerBuilder.forName(name).addService(this).build().start();
  }

  AutopilotClient client() {
    return client(AutopilotClient.builder("localhost:1"));
  }

  AutopilotClient client(ClientBuilder builder) {
    String name = server.getListenSockets().get(0).toString();
    return builder.build(InProcessChannelBuilder.forName(name));
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  // --- what to answer ---

  FakeService refuse(Status... statuses) {
    refusals.addAll(List.of(statuses));
    return this;
  }

  FakeService get(Consumer<StreamObserver<GetStatusResponse>> answer) {
    gets.add(answer);
    return this;
  }

  FakeService job(JobState state, long latestSequence) {
    Job job = Job.newBuilder().setState(state).setLatestSequence(latestSequence).build();
    return get(answer -> answer(answer, GetStatusResponse.newBuilder().setJob(job).build()));
  }

  FakeService watch(Consumer<StreamObserver<WatchProgressResponse>> answer) {
    watches.add(answer);
    return this;
  }

  /** Sends what is given, and then ends with a status. */
  FakeService watch(Status status, WatchProgressResponse... responses) {
    return watch(
        answer -> {
          List.of(responses).forEach(answer::onNext);
          if (status.isOk()) {
            answer.onCompleted();
          } else {
            answer.onError(status.asRuntimeException());
          }
        });
  }

  static WatchProgressResponse events(long... sequences) {
    var response = WatchProgressResponse.newBuilder();
    LongStream.of(sequences).forEach(sequence -> response.addEventsBuilder().setSequence(sequence));
    return response.setThroughSequence(sequences[sequences.length - 1]).build();
  }

  static WatchProgressResponse changed(long sequence, JobState to) {
    var event =
        ProgressEvent.newBuilder()
            .setSequence(sequence)
            .setStateChanged(StateChanged.newBuilder().setTo(to));
    return WatchProgressResponse.newBuilder().addEvents(event).setThroughSequence(sequence).build();
  }

  static WatchProgressResponse heartbeat(long throughSequence) {
    return WatchProgressResponse.newBuilder().setThroughSequence(throughSequence).build();
  }

  // --- answering ---

  @Override
  public void submitJob(SubmitJobRequest request, StreamObserver<SubmitJobResponse> answer) {
    if (taken(request, answer)) {
      answer(answer, SubmitJobResponse.newBuilder().setJob(Job.newBuilder().setJobId("j")).build());
    }
  }

  @Override
  public void getStatus(GetStatusRequest request, StreamObserver<GetStatusResponse> answer) {
    if (taken(request, answer)) {
      if (gets.isEmpty()) {
        answer(answer, GetStatusResponse.getDefaultInstance());
      } else {
        gets.remove().accept(answer);
      }
    }
  }

  @Override
  public void listJobs(ListJobsRequest request, StreamObserver<ListJobsResponse> answer) {
    if (taken(request, answer)) {
      int page = request.getPageToken().isEmpty() ? 1 : Integer.parseInt(request.getPageToken());
      var response =
          ListJobsResponse.newBuilder().setNextPageToken(page < 3 ? "" + (page + 1) : "");
      // The second of three pages is empty, as the contract allows.
      if (page != 2) {
        response.addJobs(Job.newBuilder().setJobId("job " + page));
      }
      answer(answer, response.build());
    }
  }

  @Override
  public void watchProgress(
      WatchProgressRequest request, StreamObserver<WatchProgressResponse> answer) {
    if (taken(request, answer)) {
      watches.remove().accept(answer);
    }
  }

  private synchronized boolean taken(Object request, StreamObserver<?> answer) {
    requests.add(request);
    contexts.add(Context.current());
    Context.current().addListener(context -> cancelled.countDown(), Runnable::run);
    called.countDown();
    if (refusals.isEmpty()) {
      return true;
    }
    answer.onError(refusals.remove().asRuntimeException());
    return false;
  }

  static <T> void answer(StreamObserver<T> answer, T response) {
    answer.onNext(response);
    answer.onCompleted();
  }
}
