package io.github.autopilotjobs.client;

import io.github.autopilotjobs.v1.View;

/** How to list. */
public final class ListOptions {
  private final boolean payloads;
  private final int pageSize;

  private ListOptions(Builder builder) {
    payloads = builder.payloads;
    pageSize = builder.pageSize;
  }

  public static Builder builder() {
    return new Builder();
  }

  View view() {
    return payloads ? View.VIEW_FULL : View.VIEW_BASIC;
  }

  int pageSize() {
    return pageSize;
  }

  /** What may be said. */
  public static final class Builder {
    private boolean payloads;
    private int pageSize = Pages.DEFAULT_SIZE;

    private Builder() {}

    /** Whether to read the payloads, or a checkpoint's values, as well: false unless it is said. */
    public Builder payloads(boolean payloads) {
      this.payloads = payloads;
      return this;
    }

    /** How many are read at once: 100 unless it is said. */
    public Builder pageSize(int size) {
      pageSize = size;
      return this;
    }

    public ListOptions build() {
      return new ListOptions(this);
    }
  }
}
