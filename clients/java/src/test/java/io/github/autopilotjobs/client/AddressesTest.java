package io.github.autopilotjobs.client;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AddressesTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "localhost",
        "localhost:1",
        "127.0.0.1:50051",
        "127.8.8.8:1",
        "[::1]:1",
        "dns:///localhost:1",
        "[0:0:0:0:0:0:0:1]:1",
        "unix:/run/autopilot.sock",
        "unix:///run/autopilot.sock"
      })
  void staysOnThisMachine(String address) {
    assertTrue(Addresses.isLoopback(address));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "example.com:443",
        "localhost.example.com:1",
        "127.0.0.1.example.com:1",
        "127.0.0.example:1",
        "10.0.0.1:1",
        "[::2]:1",
        "[2001:db8::1]:1",
        "[1:0:0:0:0:0:0:1]:1",
        "dns://8.8.8.8/localhost:1",
        "xds:///localhost",
        "127.example.com",
        "128.0.0.1:1",
        "0.0.0.0:1",
        "[fe80::1]:1"
      })
  void mayLeaveThisMachine(String address) {
    assertFalse(Addresses.isLoopback(address));
  }
}
