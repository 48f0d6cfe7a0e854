/**
 * The client of Autopilot: LangGraph workflows as durable jobs behind gRPC. Begin with {@link
 * io.github.autopilotjobs.client.AutopilotClient}.
 */
package io.github.autopilotjobs.client;
