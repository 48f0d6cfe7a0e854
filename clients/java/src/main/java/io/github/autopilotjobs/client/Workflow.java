package io.github.autopilotjobs.client;

import java.util.List;

/**
 * A workflow that the server can run.
 *
 * @param revision changes when the workflow's code changes
 * @param inputSchema JSON Schema
 * @param outputSchema JSON Schema
 * @param mermaid the graph as a Mermaid diagram
 * @param maxRunningJobs how many of its jobs run at once; 0: any number
 * @param maxRunningJobsPerKey how many with the same concurrency key; 0: any number, and no job has
 *     a key
 */
public record Workflow(
    String name,
    String description,
    String revision,
    Value inputSchema,
    Value outputSchema,
    List<String> steps,
    String mermaid,
    int maxRunningJobs,
    int maxRunningJobsPerKey) {}
