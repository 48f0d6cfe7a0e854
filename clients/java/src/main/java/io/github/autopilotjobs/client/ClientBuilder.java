package io.github.autopilotjobs.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import java.time.Duration;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** Makes a client: {@code AutopilotClient.builder("host:443").tls().token(token).build()}. */
public final class ClientBuilder {
  static final Duration DEFAULT_TIMEOUT = Duration.ofSeconds(30);

  private final String address;
  private ChannelCredentials transport = InsecureChannelCredentials.create();
  private boolean encrypted;
  private Supplier<String> token;
  private boolean insecure;
  private Duration timeout = DEFAULT_TIMEOUT;
  private Consumer<ManagedChannelBuilder<?>> channel = builder -> {};

  ClientBuilder(String address) {
    this.address = address;
  }

  /** Calls go over TLS, and the system's authorities are trusted. */
  public ClientBuilder tls() {
    return tls(TlsChannelCredentials.create());
  }

  /**
   * Calls go over TLS, as it is said here: {@code TlsChannelCredentials.newBuilder()} takes the
   * authorities to trust, and the client's own certificate and key.
   */
  public ClientBuilder tls(ChannelCredentials credentials) {
    transport = credentials;
    encrypted = !(credentials.withoutBearerTokens() instanceof InsecureChannelCredentials);
    return this;
  }

  /**
   * A bearer token goes with each call: over TLS and to this machine; elsewhere only with {@link
   * #insecure()}.
   *
   * @throws IllegalArgumentException when it has not the form of a token
   */
  public ClientBuilder token(String token) {
    String checked = BearerToken.checked(token);
    return token(() -> checked);
  }

  /** The same with a function that gives the token to use now. It is called for each call. */
  public ClientBuilder token(Supplier<String> source) {
    token = source;
    return this;
  }

  /**
   * Sends tokens over plain text to other machines as well: for where something else protects the
   * way.
   */
  public ClientBuilder insecure() {
    insecure = true;
    return this;
  }

  /** How long a call may take: 30 s unless it is said. A watch may take any time. */
  public ClientBuilder timeout(Duration timeout) {
    this.timeout = timeout;
    return this;
  }

  /** Says more to gRPC: interceptors, a proxy, an executor … */
  public ClientBuilder channel(Consumer<ManagedChannelBuilder<?>> configure) {
    channel = channel.andThen(configure);
    return this;
  }

  /**
   * Makes the client. It does not wait for the server: the first call finds it.
   *
   * @throws IllegalArgumentException when a token would go over plain text to another machine
   */
  public AutopilotClient build() {
    if (token != null && !encrypted && !insecure && !Addresses.isLoopback(address)) {
      throw new IllegalArgumentException(
          "a token is not sent to "
              + address
              + " over plain text, where others could read it: use tls(), or insecure() where"
              + " something else protects the way");
    }
    return build(Grpc.newChannelBuilder(address, transport));
  }

  AutopilotClient build(ManagedChannelBuilder<?> builder) {
    BearerToken credentials = token == null ? null : new BearerToken(token);
    return new AutopilotClient(new Connection(builder, channel, credentials), timeout);
  }
}
