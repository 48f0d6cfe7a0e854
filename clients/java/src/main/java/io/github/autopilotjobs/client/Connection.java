package io.github.autopilotjobs.client;

import io.github.autopilotjobs.client.errors.CallFailedException;
import io.github.autopilotjobs.v1.JobServiceGrpc;
import io.github.autopilotjobs.v1.JobServiceGrpc.JobServiceBlockingStub;
import io.grpc.CallCredentials;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.function.Function;

/** The channel to the server, and the calls on it. */
final class Connection implements AutoCloseable {
  // Room for a server with a larger payload limit.
  private static final int MAX_MESSAGE_BYTES = 16 << 20;

  private final ManagedChannel channel;
  private final Reconnecting reconnecting;
  private final JobServiceBlockingStub stub;
  private final AtomicBoolean closed = new AtomicBoolean();
  // Ends with close: for what waits and is no call.
  private final Context.CancellableContext open = Context.ROOT.withCancellation();

  Connection(
      ManagedChannelBuilder<?> builder,
      Consumer<ManagedChannelBuilder<?>> configure,
      CallCredentials credentials) {
    configure.accept(configured(builder));
    channel = builder.build();
    reconnecting = new Reconnecting(channel);
    stub = JobServiceGrpc.newBlockingStub(channel).withCallCredentials(credentials);
  }

  private static ManagedChannelBuilder<?> configured(ManagedChannelBuilder<?> builder) {
    return builder
        .defaultServiceConfig(serviceConfig())
        .disableServiceConfigLookUp()
        .enableRetry()
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        // What does not fit here is sent, but not repeated.
        .perRpcBufferLimit(MAX_MESSAGE_BYTES)
        .retryBufferSize(4L * MAX_MESSAGE_BYTES)
        // Finds a dead connection within 80 s, where a call is open.
        .keepAliveTime(60, TimeUnit.SECONDS)
        .keepAliveTimeout(20, TimeUnit.SECONDS);
  }

  /**
   * The retry policy of all clients. Retries are safe: submit and resume carry a request id, the
   * others may be repeated; a watch is resumed by the client itself.
   */
  private static Map<String, ?> serviceConfig() {
    try (InputStream resource =
        Connection.class.getResourceAsStream("/META-INF/autopilot/service_config.json")) {
      String text = new String(resource.readAllBytes(), StandardCharsets.UTF_8);
      return ServiceConfig.read(text);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** Makes a unary call with a deadline; the one of gRPC's context counts as well. */
  <T> T call(Duration timeout, Function<JobServiceBlockingStub, T> method) {
    checkOpen();
    try {
      return method.apply(stub.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS));
    } catch (StatusRuntimeException error) {
      throw failure(error);
    }
  }

  /** The stub for a call without a deadline. */
  JobServiceBlockingStub stream() {
    checkOpen();
    return stub;
  }

  CallFailedException failure(StatusRuntimeException error) {
    checkOpen();
    return Failures.of(error);
  }

  /** Is cancelled by close. */
  Context open() {
    return open;
  }

  private void checkOpen() {
    if (closed.get()) {
      throw new IllegalStateException("this client is closed");
    }
  }

  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      reconnecting.close();
      channel.shutdownNow();
      open.cancel(null);
    }
  }
}
