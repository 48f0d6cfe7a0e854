// Package autopilot is the client of Autopilot: LangGraph workflows as durable
// background jobs behind gRPC.
//
//	client, err := autopilot.New("127.0.0.1:50051")
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	output, err := client.Run(ctx, "report", map[string]any{"topic": "durable jobs"}, nil)
//
// A context's deadline is a call's deadline, and its end ends the call; a call
// whose context has no deadline gets the client's, 30 seconds. The job goes on
// whatever becomes of the call: use [Client.Cancel] to end it.
//
// Calls are retried while the server is unavailable, and each [Client.Submit] and
// [Client.Resume] has a request id, so that a retry does nothing twice. A watch
// reconnects and goes on where it was.
//
// JSON goes in as whatever encoding/json takes and comes out as a [Value], whose
// integers are exact.
//
// What goes wrong with a call is an [*Error]; [errors.Is] compares it with a
// [Reason], such as [ReasonJobNotFound].
package autopilot
