package io.github.autopilotjobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.autopilotjobs.client.errors.CallCancelledException;
import io.github.autopilotjobs.client.errors.CallFailedException;
import io.github.autopilotjobs.client.errors.DeadlineExceededException;
import io.github.autopilotjobs.client.errors.ServerUnreachableException;
import io.github.autopilotjobs.v1.GetStatusResponse;
import io.github.autopilotjobs.v1.SubmitJobRequest;
import io.grpc.Context;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class CallsTest {
  private FakeService service;
  private AutopilotClient client;

  @BeforeEach
  void start() throws Exception {
    service = new FakeService();
    client = service.client();
  }

  @AfterEach
  void stop() {
    client.close();
    service.close();
  }

  private List<String> requestIds() {
    return service.requests.stream()
        .map(request -> ((SubmitJobRequest) request).getRequestId())
        .toList();
  }

  @Test
  void anUnavailableServerIsAskedAgainWithTheSameRequestId() {
    service.refuse(Status.UNAVAILABLE, Status.UNAVAILABLE);
    assertEquals("j", client.submit("w", null).jobId());
    assertEquals(3, requestIds().size());
    assertEquals(1, requestIds().stream().distinct().count());
  }

  @Test
  void fiveTimesAndNoMore() {
    service.refuse(
        Status.UNAVAILABLE,
        Status.UNAVAILABLE,
        Status.UNAVAILABLE,
        Status.UNAVAILABLE,
        Status.UNAVAILABLE);
    assertThrows(ServerUnreachableException.class, () -> client.get("j"));
    assertEquals(5, service.requests.size());
  }

  @Test
  void nothingElseIsRepeated() {
    service.refuse(Status.INTERNAL.withDescription("broken"));
    var error = assertThrows(CallFailedException.class, () -> client.get("j"));
    assertEquals(CallFailedException.class, error.getClass());
    assertEquals(Status.Code.INTERNAL, error.code());
    assertEquals("INTERNAL: broken", error.getMessage());
    assertEquals(1, service.requests.size());
  }

  @Test
  void aSubmissionHasANewRequestIdEachTimeUnlessItSaysOne() {
    Submission submission = Submission.builder("w").build();
    client.submit(submission);
    client.submit(submission);
    assertNotEquals(requestIds().get(0), requestIds().get(1));
    client.submit(Submission.builder("w").requestId("mine").build());
    assertEquals("mine", requestIds().get(2));
  }

  @Test
  void noInputIsNotNull() {
    client.submit(Submission.builder("w").build());
    client.submit("w", null);
    var requests = service.requests.stream().map(SubmitJobRequest.class::cast).toList();
    assertFalse(requests.get(0).hasInput());
    assertEquals("null", requests.get(1).getInput().getJsonText());
  }

  @Test
  void theEarlierDeadlineWins() {
    ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    client.get("j");
    client.withTimeout(Duration.ofMinutes(10)).get("j");
    Context.current()
        .withDeadlineAfter(5, TimeUnit.MINUTES, timer)
        .run(() -> client.withTimeout(Duration.ofMinutes(10)).get("j"));
    timer.shutdownNow();
    var minutes =
        service.contexts.stream()
            .map(context -> context.getDeadline().timeRemaining(TimeUnit.SECONDS) / 60)
            .toList();
    assertEquals(List.of(0L, 9L, 4L), minutes);
  }

  @Test
  void aCallThatIsNotAnsweredEnds() {
    service.get(answer -> {});
    var brief = client.withTimeout(Duration.ofMillis(200));
    assertThrows(DeadlineExceededException.class, () -> brief.get("j"));
  }

  @Test
  void anInterruptEndsACall() throws Exception {
    service.get(answer -> {});
    var ended = new CompletableFuture<Boolean>();
    Thread thread =
        new Thread(
            () -> {
              assertThrows(CallCancelledException.class, () -> client.get("j"));
              ended.complete(Thread.currentThread().isInterrupted());
            });
    thread.start();
    service.called.await();
    thread.interrupt();
    assertTrue(ended.get());
    service.cancelled.await();
  }

  @Test
  void aClosedClientSaysSo() {
    client.close();
    client.close();
    var error = assertThrows(IllegalStateException.class, () -> client.get("j"));
    assertTrue(error.getMessage().contains("closed"));
    assertThrows(IllegalStateException.class, () -> client.watch("j").iterator().hasNext());
  }

  @Test
  void closingEndsWhatIsOpen() throws Exception {
    service.get(answer -> {});
    var call =
        CompletableFuture.supplyAsync(
            () -> assertThrows(IllegalStateException.class, () -> client.get("j")));
    service.called.await();
    client.close();
    call.get();
  }

  @Test
  void statesAreTranslated() {
    for (var state : io.github.autopilotjobs.v1.JobState.values()) {
      service.get(
          answer -> {
            var response = GetStatusResponse.newBuilder();
            response
                .getJobBuilder()
                .setStateValue(
                    state == io.github.autopilotjobs.v1.JobState.UNRECOGNIZED
                        ? 99
                        : state.getNumber());
            FakeService.answer(answer, response.build());
          });
      String name = client.get("j").state().name();
      assertTrue(state.name().equals("JOB_STATE_" + name) || name.equals("UNKNOWN"));
    }
  }

  @Test
  void listsAreReadPageByPage() {
    var first = client.list(JobFilter.all()).findFirst();
    assertEquals("job 1", first.orElseThrow().jobId());
    assertEquals(1, service.requests.size());
    assertEquals(List.of("job 1", "job 3"), client.list(JobFilter.all()).map(Job::jobId).toList());
    assertEquals(4, service.requests.size());
  }
}
