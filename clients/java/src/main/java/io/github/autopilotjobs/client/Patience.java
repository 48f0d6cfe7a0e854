package io.github.autopilotjobs.client;

import io.github.autopilotjobs.client.errors.CallFailedException;
import io.grpc.Context;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** How long, and how often, to try again while a server is away. */
final class Patience {
  static final Duration DEFAULT = Duration.ofMinutes(5);
  private static final long FIRST_PAUSE_MILLIS = 100;
  private static final long LONGEST_PAUSE_MILLIS = 5000;
  private static final long LONGEST_RETRY_DELAY_MILLIS = 30_000;
  private static final int MOST_DOUBLINGS = 16;

  private final long longestNanos;
  private final Context open;
  private int breaks;
  private long brokenSince;

  /** {@code open}: the client's, whose end ends a pause. */
  Patience(Duration longest, Context open) {
    this.open = open;
    longestNanos = longest.toNanos();
  }

  /** The server answered: what breaks next is a break of its own. */
  void restore() {
    breaks = 0;
  }

  /**
   * Waits before another try, no longer than the context lives. Throws the error when it is final,
   * and when the break has lasted for too long.
   */
  void bear(CallFailedException error, Context context) {
    if (!isBreak(error) || context.isCancelled()) {
      throw error;
    }
    long now = System.nanoTime();
    if (breaks == 0) {
      brokenSince = now;
    }
    if (now - brokenSince >= longestNanos) {
      throw error;
    }
    pause(pauseMillis(error), context);
  }

  /** Whether the log is there all the same. */
  private static boolean isBreak(CallFailedException error) {
    return switch (error.code()) {
      case UNAVAILABLE, RESOURCE_EXHAUSTED, INTERNAL, UNKNOWN, DEADLINE_EXCEEDED, ABORTED -> true;
      default -> false;
    };
  }

  private long pauseMillis(CallFailedException error) {
    long longest = Math.min(LONGEST_PAUSE_MILLIS, FIRST_PAUSE_MILLIS << breaks);
    breaks = Math.min(breaks + 1, MOST_DOUBLINGS);
    // Jitter, so that the watchers of a server that comes back do not come all at once; on top of
    // what it asks for, for the same reason.
    long jittered = ThreadLocalRandom.current().nextLong(longest / 2, longest + 1);
    long asked = error.retryDelay().map(Duration::toMillis).orElse(0L);
    return Math.max(0, Math.min(asked, LONGEST_RETRY_DELAY_MILLIS)) + jittered;
  }

  /** When the context or the client ends, or the thread is interrupted, the next try says so. */
  private void pause(long millis, Context context) {
    CountDownLatch ended = new CountDownLatch(1);
    Context.CancellationListener listener = cancelled -> ended.countDown();
    context.addListener(listener, Runnable::run);
    open.addListener(listener, Runnable::run);
    try {
      ended.await(millis, TimeUnit.MILLISECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    } finally {
      context.removeListener(listener);
      open.removeListener(listener);
    }
  }
}
