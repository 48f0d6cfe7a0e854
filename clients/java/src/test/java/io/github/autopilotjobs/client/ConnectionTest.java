package io.github.autopilotjobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.autopilotjobs.client.errors.ServerUnreachableException;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class ConnectionTest {
  @Test
  void theRetryPolicyIsThatOfAllClients() throws Exception {
    String shared = Files.readString(Path.of("..", "service_config.json"));
    try (var packaged =
        Connection.class.getResourceAsStream("/META-INF/autopilot/service_config.json")) {
      assertEquals(shared, new String(packaged.readAllBytes(), "UTF-8"));
    }
  }

  @Test
  void numbersOfAServiceConfigAreDoubles() {
    var read = ServiceConfig.read("{\"a\": [1, \"x\", true, null, {\"b\": 0.5}]}");
    var list = (List<?>) read.get("a");
    assertEquals(1.0, list.get(0));
    assertEquals(Map.of("b", 0.5), list.get(4));
  }

  @Test
  @Timeout(60)
  void largeRequestsAreRepeatedAsWell() throws Exception {
    try (var service = new FakeService()) {
      service.refuse(Status.UNAVAILABLE);
      // Over the network: within a process, gRPC does not count what it keeps for retries.
      Server server =
          Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
              .addService(service)
              .build()
              .start();
      try (var client = AutopilotClient.create("127.0.0.1:" + server.getPort())) {
        client.submit("w", "x".repeat(2 << 20));
      } finally {
        server.shutdownNow();
      }
      assertEquals(2, service.requests.size());
    }
  }

  @Test
  // By itself, gRPC would need two minutes for so many tries.
  @Timeout(60)
  void aServerThatIsAwayIsTriedAgainAndAgain() throws Exception {
    var tries = new CountDownLatch(10);
    try (var socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
      Thread refusing = new Thread(() -> refuse(socket, tries));
      refusing.setDaemon(true);
      refusing.start();
      try (var client = AutopilotClient.create("127.0.0.1:" + socket.getLocalPort())) {
        assertThrows(ServerUnreachableException.class, () -> client.get("j"));
        tries.await();
      }
    }
  }

  private static void refuse(ServerSocket socket, CountDownLatch tries) {
    try {
      while (true) {
        socket.accept().close();
        tries.countDown();
      }
    } catch (IOException closed) {
      // The test is over.
    }
  }
}
