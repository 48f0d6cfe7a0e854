package io.github.autopilotjobs.client;

import java.time.Duration;
import java.util.function.Consumer;

/** How to follow. */
public final class FollowOptions {
  private final Builder said;

  private FollowOptions(Builder said) {
    this.said = said;
  }

  public static Builder builder() {
    return new Builder();
  }

  long afterSequence() {
    return said.afterSequence;
  }

  Duration reconnectFor() {
    return said.reconnectFor;
  }

  void accept(Event event) {
    said.onEvent.accept(event);
  }

  WatchOptions watchAfter(long sequence) {
    var watch = WatchOptions.builder().afterSequence(sequence).reconnectFor(said.reconnectFor);
    return (said.tokens ? watch.tokens() : watch).build();
  }

  /** What may be said. */
  public static final class Builder {
    private long afterSequence;
    private boolean tokens;
    private Duration reconnectFor = Patience.DEFAULT;
    private Consumer<Event> onEvent = event -> {};

    private Builder() {}

    private Builder(Builder other) {
      afterSequence = other.afterSequence;
      tokens = other.tokens;
      reconnectFor = other.reconnectFor;
      onEvent = other.onEvent;
    }

    /** Only stored events after this one. */
    public Builder afterSequence(long sequence) {
      afterSequence = sequence;
      return this;
    }

    /** Also {@link EventKind.TokenChunk} events, which are not stored. */
    public Builder tokens() {
      tokens = true;
      return this;
    }

    /** As {@link WatchOptions.Builder#reconnectFor}. */
    public Builder reconnectFor(Duration span) {
      reconnectFor = span;
      return this;
    }

    /** Is called with each event. It may resume the job. */
    public Builder onEvent(Consumer<Event> onEvent) {
      this.onEvent = onEvent;
      return this;
    }

    public FollowOptions build() {
      return new FollowOptions(new Builder(this));
    }
  }
}
