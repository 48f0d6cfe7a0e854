package io.github.autopilotjobs.client;

import java.time.Instant;
import java.util.List;

/**
 * The state of a job's thread after a superstep.
 *
 * @param parentCheckpointId empty of the first
 * @param source {@code input}, {@code loop}, {@code update} or {@code fork}, as in LangGraph
 * @param values the state; missing unless it was asked for
 */
public record Checkpoint(
    String checkpointId,
    String parentCheckpointId,
    int superstep,
    String source,
    List<String> nextSteps,
    Instant createTime,
    Value values) {}
