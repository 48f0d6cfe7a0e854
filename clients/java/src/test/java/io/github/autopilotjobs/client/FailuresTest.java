package io.github.autopilotjobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.github.autopilotjobs.client.errors.CallFailedException;
import io.github.autopilotjobs.client.errors.Violation;
import io.github.autopilotjobs.v1.ErrorReason;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FailuresTest {
  private static CallFailedException failure(Any... details) {
    Status status =
        Status.newBuilder()
            .setCode(Code.NOT_FOUND_VALUE)
            .setMessage("said")
            .addAllDetails(List.of(details))
            .build();
    return Failures.of(StatusProto.toStatusRuntimeException(status));
  }

  private static Any info(String domain, String reason) {
    return Any.pack(
        ErrorInfo.newBuilder().setDomain(domain).setReason(reason).putMetadata("a", "b").build());
  }

  @ParameterizedTest
  @EnumSource(ErrorReason.class)
  void eachReasonOfTheContractHasAClass(ErrorReason reason) {
    String name = reason.name().replace("ERROR_REASON_", "");
    if (name.equals("UNSPECIFIED") || reason == ErrorReason.UNRECOGNIZED) {
      return;
    }
    CallFailedException failed = failure(info("autopilot", name));
    String type = failed.getClass().getSimpleName().replace("Exception", "");
    assertEquals(name.replace("_", ""), type.toUpperCase(java.util.Locale.ROOT));
    assertEquals(name, failed.reason());
    assertEquals(Map.of("a", "b"), failed.metadata());
    assertEquals(name + ": said", failed.getMessage());
  }

  @Test
  void whatIsNotKnownIsTheGeneralClass() {
    assertEquals("LATER", failure(info("autopilot", "LATER")).reason());
    assertEquals(CallFailedException.class, failure(info("autopilot", "LATER")).getClass());
    assertEquals("", failure(info("example.com", "JOB_NOT_FOUND")).reason());
    assertEquals("", failure().reason());
  }

  @Test
  void detailsAreRead() {
    var bad = BadRequest.newBuilder();
    bad.addFieldViolationsBuilder().setField("f").setDescription("d");
    var retry = RetryInfo.newBuilder();
    retry.getRetryDelayBuilder().setSeconds(1).setNanos(500_000_000);
    CallFailedException failed = failure(Any.pack(bad.build()), Any.pack(retry.build()));
    assertEquals(List.of(new Violation("f", "d")), failed.violations());
    assertEquals(Optional.of(Duration.ofMillis(1500)), failed.retryDelay());
  }

  @Test
  void whatCannotBeReadDoesNoHarm() {
    Any unknown = Any.newBuilder().setTypeUrl("type.googleapis.com/example.Unknown").build();
    Any broken =
        info("autopilot", "X").toBuilder().setValue(ByteString.copyFromUtf8("\u0001")).build();
    CallFailedException failed = failure(unknown, broken, info("autopilot", "JOB_NOT_FOUND"));
    assertEquals("JOB_NOT_FOUND", failed.reason());
  }
}
