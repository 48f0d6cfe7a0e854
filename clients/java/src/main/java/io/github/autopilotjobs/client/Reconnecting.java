package io.github.autopilotjobs.client;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Finds a server that was restarted at once. By itself, gRPC for Java would wait up to two minutes
 * between its tries, and cannot be told otherwise; but it can be told to try now.
 */
final class Reconnecting implements AutoCloseable {
  private static final double FIRST_PAUSE_MILLIS = 100;
  private static final double LONGEST_PAUSE_MILLIS = 2000;
  private static final double MULTIPLIER = 1.6;
  private static final double JITTER = 0.2;

  private final ManagedChannel channel;
  private final ScheduledThreadPoolExecutor timer;
  // Of the timer's thread alone.
  private double pauseMillis = FIRST_PAUSE_MILLIS;
  private boolean waiting;

  Reconnecting(ManagedChannel channel) {
    this.channel = channel;
    timer = new ScheduledThreadPoolExecutor(1, Reconnecting::daemon);
    // No thread for a client that has no trouble.
    timer.setKeepAliveTime(5, TimeUnit.SECONDS);
    timer.allowCoreThreadTimeOut(true);
    timer.setRejectedExecutionHandler(new ThreadPoolExecutor.DiscardPolicy());
    listen(ConnectivityState.IDLE);
  }

  private static Thread daemon(Runnable task) {
    Thread thread = new Thread(task, "autopilot-reconnect");
    thread.setDaemon(true);
    return thread;
  }

  private void listen(ConnectivityState last) {
    channel.notifyWhenStateChanged(last, () -> timer.execute(this::look));
  }

  private void look() {
    ConnectivityState state = channel.getState(false);
    if (state == ConnectivityState.READY) {
      pauseMillis = FIRST_PAUSE_MILLIS;
    } else if (state == ConnectivityState.TRANSIENT_FAILURE) {
      retryLater();
    }
    if (state != ConnectivityState.SHUTDOWN) {
      listen(state);
    }
  }

  private void retryLater() {
    if (waiting) {
      return;
    }
    waiting = true;
    double jittered = pauseMillis * ThreadLocalRandom.current().nextDouble(1 - JITTER, 1 + JITTER);
    timer.schedule(this::retry, (long) jittered, TimeUnit.MILLISECONDS);
    pauseMillis = Math.min(pauseMillis * MULTIPLIER, LONGEST_PAUSE_MILLIS);
  }

  private void retry() {
    waiting = false;
    if (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      channel.resetConnectBackoff();
      // The state stays the same until a try succeeds: nothing else would tell of the next failure.
      retryLater();
    }
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
