package io.github.autopilotjobs.client.errors;

/**
 * One thing that is wrong with one field of a request.
 *
 * @param field the field's path
 * @param description what is wrong
 */
public record Violation(String field, String description) {}
