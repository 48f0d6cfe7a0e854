package io.github.autopilotjobs.client.errors;

import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * How a call ended that failed.
 *
 * @param code gRPC's code
 * @param reason the server's reason; empty when it gave none
 * @param message what the server said
 * @param metadata what the reason is about
 * @param violations what is wrong with the request
 * @param retryDelay after how long trying again makes sense; empty when the server did not say
 */
public record CallFailure(
    Status.Code code,
    String reason,
    String message,
    Map<String, String> metadata,
    List<Violation> violations,
    Optional<Duration> retryDelay) {

  /** Keeps copies. */
  public CallFailure {
    metadata = Map.copyOf(metadata);
    violations = List.copyOf(violations);
  }

  String text() {
    return (reason.isEmpty() ? code.name() : reason) + ": " + message;
  }
}
