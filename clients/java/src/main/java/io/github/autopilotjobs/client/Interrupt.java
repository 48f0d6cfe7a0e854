package io.github.autopilotjobs.client;

import java.time.Instant;

/**
 * A question that waits for an answer.
 *
 * @param step the step that asks
 * @param value what it asks
 * @param responseSchema JSON Schema of an answer; missing when the workflow gave none
 */
public record Interrupt(
    String interruptId,
    String step,
    Value value,
    Instant createTime,
    Value responseSchema,
    String stepRunId) {}
