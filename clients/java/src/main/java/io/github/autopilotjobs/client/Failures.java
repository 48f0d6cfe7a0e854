package io.github.autopilotjobs.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.github.autopilotjobs.client.errors.CallFailedException;
import io.github.autopilotjobs.client.errors.CallFailure;
import io.github.autopilotjobs.client.errors.Violation;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/** This client's exceptions from gRPC's. */
final class Failures {
  private static final String DOMAIN = "autopilot";

  private Failures() {}

  static CallFailedException of(StatusRuntimeException error) {
    Status status = error.getStatus();
    var rich = StatusProto.fromThrowable(error);
    List<Any> details = rich == null ? List.of() : rich.getDetailsList();
    ErrorInfo info =
        details(details, ErrorInfo.class)
            .filter(given -> given.getDomain().equals(DOMAIN))
            .orElse(ErrorInfo.getDefaultInstance());
    CallFailure failure =
        new CallFailure(
            status.getCode(),
            info.getReason(),
            Objects.requireNonNullElse(status.getDescription(), ""),
            info.getMetadataMap(),
            violations(details),
            retryDelay(details));
    return CallFailedException.of(failure, error);
  }

  private static List<Violation> violations(List<Any> details) {
    return details(details, BadRequest.class)
        .map(BadRequest::getFieldViolationsList)
        .orElse(List.of())
        .stream()
        .map(violation -> new Violation(violation.getField(), violation.getDescription()))
        .toList();
  }

  private static Optional<Duration> retryDelay(List<Any> details) {
    return details(details, RetryInfo.class)
        .map(info -> Conversions.duration(info.getRetryDelay()));
  }

  private static <T extends Message> Optional<T> details(List<Any> details, Class<T> type) {
    return details.stream()
        .filter(detail -> detail.is(type))
        .flatMap(detail -> unpacked(detail, type).stream())
        .findFirst();
  }

  private static <T extends Message> Optional<T> unpacked(Any detail, Class<T> type) {
    try {
      return Optional.of(detail.unpack(type));
    } catch (InvalidProtocolBufferException error) {
      // What cannot be read says nothing; the code and the message do.
      return Optional.empty();
    }
  }
}
