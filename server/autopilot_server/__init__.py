"""The Autopilot server: LangGraph workflows as durable background jobs behind gRPC."""
