package io.github.autopilotjobs.client;

import java.util.List;

/**
 * A workflow that the server can run.
 *
 * @param revision changes when the workflow's code changes
 * @param inputSchema JSON Schema
 * @param outputSchema JSON Schema
 * @param mermaid the graph as a Mermaid diagram
 */
public record Workflow(
    String name,
    String description,
    String revision,
    Value inputSchema,
    Value outputSchema,
    List<String> steps,
    String mermaid) {}
