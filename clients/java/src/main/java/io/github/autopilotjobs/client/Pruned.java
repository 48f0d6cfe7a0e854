package io.github.autopilotjobs.client;

/** What was deleted, or would be. */
public record Pruned(long jobs, long checkpoints) {}
