package io.github.autopilotjobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.autopilotjobs.client.errors.CallFailedException;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.Status;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class TokensTest {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** Keeps the tokens of calls. */
  private static final class Listening implements ServerInterceptor {
    final Queue<String> tokens = new ConcurrentLinkedQueue<>();

    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      tokens.add(String.valueOf(headers.get(AUTHORIZATION)));
      return next.startCall(call, headers);
    }
  }

  private static List<String> tokensOfTwoCalls(ClientBuilder builder) throws Exception {
    Listening listening = new Listening();
    String name = InProcessServerBuilder.generateName();
    try (FakeService service = new FakeService()) {
      Server server =
          InProcessServerBuilder.forName(name)
              .addService(ServerInterceptors.intercept(service, listening))
              .build()
              .start();
      try (AutopilotClient client = builder.build(InProcessChannelBuilder.forName(name))) {
        client.get("j");
        client.get("j");
      } finally {
        server.shutdownNow();
      }
    }
    return List.copyOf(listening.tokens);
  }

  @Test
  void aTokenGoesWithEachCall() throws Exception {
    var builder = AutopilotClient.builder("localhost:1").token("secret");
    assertEquals(List.of("Bearer secret", "Bearer secret"), tokensOfTwoCalls(builder));
  }

  @Test
  void aFunctionIsAskedForEachCall() throws Exception {
    Iterator<String> tokens = List.of("one", "two").iterator();
    var builder = AutopilotClient.builder("localhost:1").token(tokens::next);
    assertEquals(List.of("Bearer one", "Bearer two"), tokensOfTwoCalls(builder));
  }

  @Test
  void noTokenIsNoHeader() throws Exception {
    assertEquals(List.of("null", "null"), tokensOfTwoCalls(AutopilotClient.builder("localhost:1")));
  }

  @Test
  void aTokenDoesNotGoOverPlainTextToAnotherMachine() {
    var builder = AutopilotClient.builder("example.com:443").token("secret");
    var error = assertThrows(IllegalArgumentException.class, builder::build);
    assertTrue(error.getMessage().contains("plain text"));
    assertFalse(error.getMessage().contains("secret"));
    builder.insecure().build().close();
    AutopilotClient.builder("example.com:443").token("secret").tls().build().close();
    AutopilotClient.builder("localhost:1").token("secret").build().close();
  }

  @Test
  void plainTextIsPlainTextHoweverItIsSaid() {
    var plain = InsecureChannelCredentials.create();
    var builder = AutopilotClient.builder("example.com:443").token("secret").tls(plain);
    assertThrows(IllegalArgumentException.class, builder::build);
  }

  @ParameterizedTest
  @NullSource
  @ValueSource(strings = {"", "with space", "line\nend", "=", "ключ"})
  void whatIsNoTokenIsRefusedAndNotNamed(String token) {
    var builder = AutopilotClient.builder("localhost:1");
    var error = assertThrows(IllegalArgumentException.class, () -> builder.token(token));
    assertFalse(token != null && token.length() > 1 && error.getMessage().contains(token));
  }

  @Test
  void aFunctionThatGivesNoTokenFailsTheCallAndDoesNotNameIt() {
    var builder = AutopilotClient.builder("localhost:1").token(() -> "with space");
    var error = assertThrows(CallFailedException.class, () -> tokensOfTwoCalls(builder));
    assertEquals(Status.Code.UNAUTHENTICATED, error.code());
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      assertFalse(cause.toString().contains("with space"), Arrays.toString(cause.getStackTrace()));
    }
  }
}
