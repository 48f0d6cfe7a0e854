package io.github.autopilotjobs.client;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The items of all pages, each page read when it is needed. */
final class Pages<T> implements Iterator<T> {
  static final int DEFAULT_SIZE = 100;

  /** A page, and the token of the next one: empty on the last. */
  record Page<T>(List<T> items, String nextToken) {}

  private final Function<String, Page<T>> read;
  private Iterator<T> items;
  private String nextToken;

  private Pages(Function<String, Page<T>> read) {
    this.read = read;
  }

  /** The items as a stream; {@code read} reads the page of a token, the first one's is empty. */
  static <T> Stream<T> stream(Function<String, Page<T>> read) {
    int kind = Spliterator.ORDERED | Spliterator.NONNULL;
    return StreamSupport.stream(
        Spliterators.spliteratorUnknownSize(new Pages<>(read), kind), false);
  }

  @Override
  public boolean hasNext() {
    while (items == null || !items.hasNext() && !nextToken.isEmpty()) {
      Page<T> page = read.apply(items == null ? "" : nextToken);
      items = page.items().iterator();
      nextToken = page.nextToken();
    }
    return items.hasNext();
  }

  @Override
  public T next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return items.next();
  }
}
