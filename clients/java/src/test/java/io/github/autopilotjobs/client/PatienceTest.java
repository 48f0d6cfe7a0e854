package io.github.autopilotjobs.client;

import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.Any;
import com.google.rpc.Code;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.github.autopilotjobs.client.errors.CallFailedException;
import io.grpc.Context;
import io.grpc.protobuf.StatusProto;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class PatienceTest {
  private static CallFailedException asksToWaitFor(long seconds) {
    var delay = com.google.protobuf.Duration.newBuilder().setSeconds(seconds);
    Status status =
        Status.newBuilder()
            .setCode(Code.RESOURCE_EXHAUSTED_VALUE)
            .addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(delay).build()))
            .build();
    return Failures.of(StatusProto.toStatusRuntimeException(status));
  }

  @Test
  @Timeout(20)
  void aClientThatIsClosedEndsAPause() {
    AutopilotClient client = AutopilotClient.create("localhost:1");
    client.close();
    new Patience(Patience.DEFAULT, client.open()).bear(asksToWaitFor(3600), Context.ROOT);
    assertThrows(IllegalStateException.class, () -> client.get("j"));
  }
}
