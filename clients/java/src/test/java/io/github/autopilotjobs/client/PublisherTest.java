package io.github.autopilotjobs.client;

import static io.github.autopilotjobs.client.FakeService.events;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.autopilotjobs.client.errors.CallFailedException;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class PublisherTest {
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

  /** Keeps what it is told: events' sequences, an exception, or "complete". */
  private static final class Listener implements Flow.Subscriber<Event> {
    final BlockingQueue<Object> told = new LinkedBlockingQueue<>();
    final BlockingQueue<Flow.Subscription> subscribed = new LinkedBlockingQueue<>();
    volatile Thread thread;

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
      thread = Thread.currentThread();
      subscribed.add(subscription);
    }

    @Override
    public void onNext(Event event) {
      told.add(event.sequence());
    }

    @Override
    public void onError(Throwable error) {
      told.add(error);
    }

    @Override
    public void onComplete() {
      told.add("complete");
    }

    /** Returns once nothing goes on: the thread waits for a request, or has ended. */
    void awaitRest() throws InterruptedException {
      while (thread.isAlive() && thread.getState() != Thread.State.WAITING) {
        Thread.sleep(1);
      }
    }

    List<Object> take(int count) throws InterruptedException {
      List<Object> taken = new ArrayList<>();
      while (taken.size() < count) {
        taken.add(told.take());
      }
      return taken;
    }
  }

  private Listener subscribed() {
    Listener listener = new Listener();
    client.publisher("j", WatchOptions.builder().build()).subscribe(listener);
    return listener;
  }

  @Test
  void whatIsRequestedIsDeliveredAndNoMore() throws Exception {
    service.watch(Status.OK, events(1, 2), events(3));
    Listener listener = subscribed();
    Flow.Subscription subscription = listener.subscribed.take();
    subscription.request(1);
    assertEquals(List.of(1L), listener.take(1));
    listener.awaitRest();
    assertNull(listener.told.peek());
    subscription.request(1);
    assertEquals(List.of(2L), listener.take(1));
    subscription.request(1);
    assertEquals(List.of(3L, "complete"), listener.take(2));
  }

  @Test
  void allOfIt() throws Exception {
    service.watch(Status.UNAVAILABLE, events(1, 2)).watch(Status.OK, events(3));
    Listener listener = subscribed();
    Flow.Subscription subscription = listener.subscribed.take();
    subscription.request(Long.MAX_VALUE);
    subscription.request(Long.MAX_VALUE);
    assertEquals(List.of(1L, 2L, 3L, "complete"), listener.take(4));
  }

  @Test
  void anErrorIsTold() throws Exception {
    service.refuse(Status.NOT_FOUND);
    Listener listener = subscribed();
    assertTrue(listener.told.take() instanceof CallFailedException);
  }

  @Test
  void whoCancelsIsToldNothingMore() throws Exception {
    service.watch(answer -> answer.onNext(events(1)));
    Listener listener = subscribed();
    Flow.Subscription subscription = listener.subscribed.take();
    subscription.request(5);
    assertEquals(List.of(1L), listener.take(1));
    subscription.cancel();
    service.cancelled.await();
    assertNull(listener.told.peek());
  }

  @Test
  void aRequestOfNothingIsAMistake() throws Exception {
    service.watch(answer -> answer.onNext(events(1)));
    Listener listener = subscribed();
    service.called.await();
    listener.subscribed.take().request(0);
    assertTrue(listener.told.take() instanceof IllegalArgumentException);
    service.cancelled.await();
  }
}
