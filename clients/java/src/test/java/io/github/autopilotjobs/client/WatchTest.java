package io.github.autopilotjobs.client;

import static io.github.autopilotjobs.client.FakeService.events;
import static io.github.autopilotjobs.client.FakeService.heartbeat;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.autopilotjobs.client.errors.CallCancelledException;
import io.github.autopilotjobs.client.errors.CallFailedException;
import io.github.autopilotjobs.client.errors.DeadlineExceededException;
import io.github.autopilotjobs.client.errors.ServerUnreachableException;
import io.github.autopilotjobs.v1.WatchProgressRequest;
import io.grpc.Context;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(60)
class WatchTest {
  private static final WatchOptions IMPATIENT =
      WatchOptions.builder().reconnectFor(Duration.ZERO).build();

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

  private static List<Long> sequences(Watch watch) {
    List<Long> sequences = new ArrayList<>();
    try (watch) {
      watch.forEach(event -> sequences.add(event.sequence()));
    }
    return sequences;
  }

  private List<Long> places() {
    return service.requests.stream()
        .map(request -> ((WatchProgressRequest) request).getAfterSequence())
        .toList();
  }

  @Test
  void eachStoredEventOnceAcrossBreaks() {
    service
        .watch(Status.UNAVAILABLE, events(1, 2), events(3))
        .watch(Status.INTERNAL, events(2, 3, 4), heartbeat(6))
        .watch(Status.OK, events(7));
    assertEquals(List.of(1L, 2L, 3L, 4L, 7L), sequences(client.watch("j")));
    assertEquals(List.of(0L, 3L, 6L), places());
  }

  @Test
  void whatIsNotStoredIsAlwaysHandedOver() {
    service.watch(Status.OK, events(0, 1, 0, 2), events(2, 0, 1));
    assertEquals(List.of(0L, 1L, 0L, 2L, 0L), sequences(client.watch("j")));
  }

  @Test
  void theOptionsReachTheServer() {
    service.watch(Status.OK);
    var options = WatchOptions.builder().afterSequence(5).stopWhenCaughtUp().tokens().build();
    assertEquals(List.of(), sequences(client.watch("j", options)));
    var request = (WatchProgressRequest) service.requests.element();
    assertEquals(5, request.getAfterSequence());
    assertTrue(request.getStopWhenCaughtUp() && request.getIncludeTokens());
  }

  @ParameterizedTest
  @EnumSource(Status.Code.class)
  void someEndsPassAndOthersDoNot(Status.Code code) {
    var breaks = "UNAVAILABLE RESOURCE_EXHAUSTED INTERNAL UNKNOWN DEADLINE_EXCEEDED ABORTED";
    service.watch(code.toStatus(), events(1)).watch(Status.OK, events(2));
    if (code == Status.Code.OK) {
      assertEquals(List.of(1L), sequences(client.watch("j")));
    } else if (List.of(breaks.split(" ")).contains(code.name())) {
      assertEquals(List.of(1L, 2L), sequences(client.watch("j")));
    } else {
      assertThrows(CallFailedException.class, () -> sequences(client.watch("j")));
    }
  }

  @Test
  void anErrorIsTheLastThing() {
    service.watch(Status.UNAVAILABLE, events(1));
    Iterator<Event> events = client.watch("j", IMPATIENT).iterator();
    assertEquals(1, events.next().sequence());
    assertThrows(ServerUnreachableException.class, events::hasNext);
    assertFalse(events.hasNext());
    assertThrows(NoSuchElementException.class, events::next);
  }

  @Test
  void aSecondLoopGoesOn() {
    service.watch(Status.OK, events(1, 2, 3));
    Watch watch = client.watch("j");
    for (Event event : watch) {
      assertEquals(1, event.sequence());
      break;
    }
    assertEquals(List.of(2L, 3L), sequences(watch));
  }

  @Test
  void aStreamClosesItsWatch() throws Exception {
    service.watch(answer -> answer.onNext(events(1, 2, 3)));
    try (Stream<Event> stream = client.watch("j").stream()) {
      assertEquals(List.of(1L, 2L), stream.map(Event::sequence).limit(2).toList());
    }
    service.cancelled.await();
  }

  @Test
  void whoLeavesEndsTheCall() throws Exception {
    service.watch(answer -> answer.onNext(events(1)));
    try (Watch watch = client.watch("j")) {
      watch.iterator().next();
    }
    service.cancelled.await();
  }

  @Test
  void closingFromAnotherThreadEndsTheLoop() throws Exception {
    service.watch(answer -> answer.onNext(events(1)));
    Watch watch = client.watch("j");
    var seen = CompletableFuture.supplyAsync(() -> sequences(watch));
    service.called.await();
    watch.close();
    assertTrue(seen.get().size() <= 1);
  }

  @Test
  void closingEndsAPause() throws Exception {
    service.refuse(Status.UNAVAILABLE);
    Watch watch = client.watch("j");
    var seen = CompletableFuture.supplyAsync(() -> sequences(watch));
    service.called.await();
    watch.close();
    assertEquals(List.of(), seen.get());
  }

  @Test
  void closingTheClientEndsTheLoop() throws Exception {
    service.watch(answer -> answer.onNext(events(1)));
    Iterator<Event> events = client.watch("j").iterator();
    events.next();
    var ended =
        CompletableFuture.supplyAsync(
            () -> assertThrows(IllegalStateException.class, events::hasNext));
    client.close();
    ended.get();
  }

  @Test
  void anInterruptEndsTheLoop() throws Exception {
    service.watch(answer -> answer.onNext(events(1)));
    var ended = new CompletableFuture<Boolean>();
    Thread thread =
        new Thread(
            () -> {
              assertThrows(CallCancelledException.class, () -> sequences(client.watch("j")));
              ended.complete(Thread.currentThread().isInterrupted());
            });
    thread.start();
    service.called.await();
    thread.interrupt();
    assertTrue(ended.get());
    service.cancelled.await();
  }

  @Test
  void anInterruptEndsAPause() throws Exception {
    // Each pause is longer than the one before: most of the time, it is one that is interrupted.
    service.refuse(Collections.nCopies(50, Status.UNAVAILABLE).toArray(Status[]::new));
    var ended = new CompletableFuture<CallCancelledException>();
    Thread thread =
        new Thread(
            () ->
                ended.complete(
                    assertThrows(
                        CallCancelledException.class, () -> sequences(client.watch("j")))));
    thread.start();
    service.called.await();
    thread.interrupt();
    assertEquals(Status.Code.CANCELLED, ended.get().code());
  }

  @Test
  void theDeadlineOfTheContextEndsTheLoop() {
    service.watch(answer -> answer.onNext(events(1)));
    var timer = Executors.newSingleThreadScheduledExecutor();
    Context.current()
        .withDeadlineAfter(200, TimeUnit.MILLISECONDS, timer)
        .run(
            () ->
                assertThrows(DeadlineExceededException.class, () -> sequences(client.watch("j"))));
    timer.shutdownNow();
  }
}
