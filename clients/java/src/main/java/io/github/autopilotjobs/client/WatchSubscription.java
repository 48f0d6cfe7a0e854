package io.github.autopilotjobs.client;

import java.util.Iterator;
import java.util.concurrent.Flow;
import java.util.function.Supplier;

/** A watch that is handed to a subscriber, as much of it as it requests. */
final class WatchSubscription implements Flow.Subscription {
  private final Watch watch;
  private final Flow.Subscriber<? super Event> subscriber;
  private long requested;
  private boolean cancelled;
  private Throwable mistake;

  private WatchSubscription(Watch watch, Flow.Subscriber<? super Event> subscriber) {
    this.watch = watch;
    this.subscriber = subscriber;
  }

  static void start(Supplier<Watch> watch, Flow.Subscriber<? super Event> subscriber) {
    var subscription = new WatchSubscription(watch.get(), subscriber);
    Thread thread = new Thread(subscription::serve, "autopilot-watch");
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public synchronized void request(long count) {
    if (count <= 0) {
      mistake = new IllegalArgumentException("a request of " + count + " events");
      watch.close();
    }
    // Long.MAX_VALUE: all of them.
    requested = requested + count < 0 ? Long.MAX_VALUE : requested + count;
    notifyAll();
  }

  @Override
  public synchronized void cancel() {
    cancelled = true;
    watch.close();
    notifyAll();
  }

  private void serve() {
    subscriber.onSubscribe(this);
    try (watch) {
      deliver(watch.iterator());
      end(null);
    } catch (InterruptedException | RuntimeException error) {
      end(error);
    }
  }

  private void deliver(Iterator<Event> events) throws InterruptedException {
    // Looks for an event before anybody wants it: the end has to be told unasked.
    while (events.hasNext() && wanted()) {
      subscriber.onNext(events.next());
    }
  }

  /** Whether the subscriber wants another event; waits until it is known. */
  private synchronized boolean wanted() throws InterruptedException {
    while (requested == 0 && !isOver()) {
      wait();
    }
    requested--;
    return !isOver();
  }

  private boolean isOver() {
    return cancelled || mistake != null;
  }

  private void end(Throwable error) {
    Throwable reason;
    synchronized (this) {
      if (cancelled) {
        return;
      }
      reason = mistake != null ? mistake : error;
    }
    if (reason == null) {
      subscriber.onComplete();
    } else {
      subscriber.onError(reason);
    }
  }
}
