package io.github.autopilotjobs.client;

import io.github.autopilotjobs.client.errors.AutopilotException;
import io.github.autopilotjobs.v1.ProgressEvent;
import io.github.autopilotjobs.v1.WatchProgressRequest;
import io.github.autopilotjobs.v1.WatchProgressResponse;
import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import java.util.Collections;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * A job's events: the stored ones, then new ones as they happen, until the job is finished or the
 * watch is closed.
 *
 * <pre>{@code
 * try (Watch watch = client.watch(jobId)) {
 *   for (Event event : watch) {
 *     if (event.kind() instanceof EventKind.StepFinished finished) { … }
 *   }
 * }
 * }</pre>
 *
 * It goes on by itself when the connection or the server breaks: each stored event once, in order.
 * An error is the last thing that it gives. A loop waits for events; an interrupt of its thread, or
 * {@link #close} from another one, ends it. One thread at a time may read.
 */
public final class Watch implements Iterable<Event>, AutoCloseable {
  private final Connection connection;
  private final Patience patience;
  private final Context.CancellableContext context = Context.current().withCancellation();
  private final Iterator<Event> events = new Events();
  private WatchProgressRequest request;

  private Iterator<WatchProgressResponse> responses;
  private Iterator<ProgressEvent> batch = Collections.emptyIterator();
  private long throughSequence;
  private volatile boolean over;

  Watch(Connection connection, String jobId, WatchOptions options) {
    this.connection = connection;
    patience = new Patience(options.reconnectFor(), connection.open());
    request = options.request(jobId);
  }

  /** The events. Always the same iterator: a second loop goes on where the first was left. */
  @Override
  public Iterator<Event> iterator() {
    return events;
  }

  /** The events as a stream, which closes the watch when it is closed. */
  public Stream<Event> stream() {
    int kind = Spliterator.ORDERED | Spliterator.NONNULL;
    Spliterator<Event> source = Spliterators.spliteratorUnknownSize(events, kind);
    return StreamSupport.stream(source, false).onClose(this::close);
  }

  /** Ends the watch at once. */
  @Override
  public void close() {
    over = true;
    context.cancel(null);
  }

  private final class Events implements Iterator<Event> {
    private Event next;

    @Override
    public boolean hasNext() {
      while (next == null && !over) {
        next = advance();
      }
      return next != null;
    }

    @Override
    public Event next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      Event event = next;
      next = null;
      return event;
    }
  }

  /** A step on the way to the next event, which it returns once it is there. */
  private Event advance() {
    try {
      return fromBatch();
    } catch (StatusRuntimeException error) {
      responses = null;
      if (!over) {
        goOnAfter(error);
      }
      return null;
    } catch (RuntimeException | Error error) {
      close();
      throw error;
    }
  }

  private Event fromBatch() {
    while (batch.hasNext()) {
      ProgressEvent event = batch.next();
      if (isNew(event.getSequence())) {
        return Conversions.event(event);
      }
    }
    moveTo(throughSequence);
    readBatch();
    return null;
  }

  private void readBatch() {
    if (responses == null) {
      var stub = connection.stream();
      context.run(() -> responses = stub.watchProgress(request));
    }
    if (!responses.hasNext()) {
      close();
      return;
    }
    WatchProgressResponse response = responses.next();
    patience.restore();
    batch = response.getEventsList().iterator();
    throughSequence = response.getThroughSequence();
  }

  private boolean isNew(long sequence) {
    return sequence == 0 || moveTo(sequence);
  }

  /** Whether this is further on in the log than the place where the watch was. */
  private boolean moveTo(long sequence) {
    if (sequence <= request.getAfterSequence()) {
      return false;
    }
    request = request.toBuilder().setAfterSequence(sequence).build();
    return true;
  }

  private void goOnAfter(StatusRuntimeException error) {
    try {
      patience.bear(connection.failure(error), context);
    } catch (AutopilotException | IllegalStateException last) {
      close();
      throw last;
    }
  }
}
