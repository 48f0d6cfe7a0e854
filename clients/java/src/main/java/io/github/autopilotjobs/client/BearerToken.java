package io.github.autopilotjobs.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.concurrent.Executor;
import java.util.function.Supplier;
import java.util.regex.Pattern;

/** Sends a bearer token with each call. Where it may be sent has been looked at before. */
final class BearerToken extends CallCredentials {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  // As RFC 6750 has it.
  private static final Pattern FORM = Pattern.compile("[A-Za-z0-9._~+/-]+=*");

  private final Supplier<String> source;

  BearerToken(Supplier<String> source) {
    this.source = source;
  }

  /** The token, if it has the form of one. The error does not name it. */
  static String checked(String token) {
    if (token == null || !FORM.matcher(token).matches()) {
      throw new IllegalArgumentException(
          "the token is empty, or has characters that no token has, such as spaces or line ends");
    }
    return token;
  }

  @Override
  public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
    // The source may take its time.
    executor.execute(() -> apply(applier));
  }

  private void apply(MetadataApplier applier) {
    Metadata headers = new Metadata();
    try {
      headers.put(AUTHORIZATION, "Bearer " + checked(source.get()));
    } catch (RuntimeException error) {
      applier.fail(
          Status.UNAUTHENTICATED.withDescription("there is no token to send").withCause(error));
      return;
    }
    applier.apply(headers);
  }
}
