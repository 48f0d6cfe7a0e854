package io.github.autopilotjobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.google.protobuf.Struct;
import io.github.autopilotjobs.v1.Omitted;
import io.github.autopilotjobs.v1.Payload;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ValueTest {
  record Greeting(String greeting, long number) {}

  private static Value returned(Object value) {
    return Payloads.value(Payloads.of(value));
  }

  @ParameterizedTest
  @ValueSource(longs = {9007199254740993L, -9007199254740993L, Long.MAX_VALUE, Long.MIN_VALUE, 0})
  void integersAreExact(long number) {
    assertEquals(number, returned(number).node().longValue());
    assertEquals(number, returned(number).as(long.class));
    assertEquals(
        Map.of("n", number),
        returned(Map.of("n", number)).as(new TypeReference<Map<String, Long>>() {}));
  }

  @Test
  void integersOfAnySizeAreExact() {
    BigInteger large = BigInteger.TWO.pow(200).add(BigInteger.ONE);
    assertEquals(large, returned(large).node().bigIntegerValue());
    assertEquals(large, returned(large).as(Object.class));
  }

  @Test
  void doublesAreDoubles() {
    for (double number : new double[] {0.1, 5e-324, Double.MAX_VALUE, -2.5, -0.0}) {
      assertEquals(number, returned(number).as(double.class));
    }
  }

  @Test
  void recordsGoOutAndComeIn() {
    Value value = returned(new Greeting("hello", 1L << 62));
    assertEquals(new Greeting("hello", 1L << 62), value.as(Greeting.class));
    assertEquals("{\"greeting\":\"hello\",\"number\":4611686018427387904}", value.json());
  }

  @Test
  void whatTheTypeHasNotGotIsSkipped() {
    assertEquals(
        new Greeting("a", 1),
        Value.ofJson("{\"greeting\":\"a\",\"number\":1,\"new\":[]}").as(Greeting.class));
  }

  @Test
  void whatDoesNotFitIsAMistake() {
    var error = assertThrows(IllegalArgumentException.class, () -> Value.of("x").as(long.class));
    assertTrue(error.getMessage().contains("long"), error.getMessage());
  }

  @Test
  void valuesMayBeInsideOfOthers() {
    Value part = Value.ofJson("{\"b\":9007199254740993}");
    assertEquals("[1,{\"b\":9007199254740993}]", Value.of(List.of(1, part)).json());
    assertEquals(part, Value.of(part));
  }

  @Test
  void noValueDiffersFromNull() {
    Value none = Payloads.value(Payload.getDefaultInstance());
    assertTrue(none.isMissing());
    assertFalse(none.isPresent());
    assertThrows(NoSuchElementException.class, none::node);
    Value nothing = returned(null);
    assertTrue(nothing.isPresent());
    assertEquals("null", nothing.json());
    assertTrue(nothing.node().isNull());
  }

  @Test
  void anOmittedValueHasItsSize() {
    Payload payload = Payload.newBuilder().setOmitted(Omitted.newBuilder().setSizeBytes(5)).build();
    Value omitted = Payloads.value(payload);
    assertEquals(5, omitted.omittedBytes().getAsLong());
    assertFalse(omitted.isMissing());
    assertThrows(NoSuchElementException.class, omitted::json);
    assertThrows(IllegalArgumentException.class, () -> Value.of(List.of(omitted)));
  }

  @Test
  void whatJsonHasNotGotIsRefused() {
    List<Object> values =
        List.of(
            Double.NaN,
            List.of(Float.NEGATIVE_INFINITY),
            new double[] {Double.NaN},
            "\ud800",
            new Object());
    for (Object value : values) {
      assertThrows(IllegalArgumentException.class, () -> Value.of(value), value::toString);
    }
    assertThrows(
        IllegalArgumentException.class,
        () -> Value.of(Map.of("a", Arrays.asList(1.0, Double.POSITIVE_INFINITY))));
  }

  @Test
  void structsAreValuesWhoseWholeNumbersAreIntegers() {
    var number = com.google.protobuf.Value.newBuilder();
    var struct =
        Struct.newBuilder()
            .putFields("whole", number.setNumberValue(3).build())
            .putFields("half", number.setNumberValue(0.5).build())
            .putFields("large", number.setNumberValue(1e300).build())
            .build();
    Map<String, Object> expected = Map.of("whole", 3, "half", 0.5, "large", 1e300);
    assertEquals(expected, Payloads.value(struct).as(Object.class));
  }
}
