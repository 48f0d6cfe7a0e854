package io.github.autopilotjobs.client;

import com.fasterxml.jackson.annotation.JsonRawValue;
import com.fasterxml.jackson.annotation.JsonValue;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.OptionalLong;

/**
 * A JSON value, exactly as the server has it; or none. JSON's null is a value. It may be given to
 * calls as an input, alone or inside of others.
 */
public final class Value {
  static final Value MISSING = new Value(null, -1);

  private final String json;
  private final long omittedBytes;

  private Value(String json, long omittedBytes) {
    this.json = json;
    this.omittedBytes = omittedBytes;
  }

  /**
   * The value of whatever Jackson writes as JSON: maps, lists, texts, numbers, records, {@link
   * JsonNode}s, null …
   *
   * @throws IllegalArgumentException when JSON has not got it: NaN, an infinity, half a character
   */
  public static Value of(Object value) {
    return value instanceof Value given ? given : new Value(JsonText.write(value), -1);
  }

  static Value ofJson(String json) {
    return new Value(json, -1);
  }

  static Value ofOmitted(long sizeBytes) {
    return new Value(null, sizeBytes);
  }

  /** {@return whether the value is here: neither missing nor omitted} */
  public boolean isPresent() {
    return json != null;
  }

  /** {@return whether the response has no value here, which is not JSON's null} */
  public boolean isMissing() {
    return json == null && omittedBytes < 0;
  }

  /** {@return the size of a value that was too large for its response; empty of any other} */
  public OptionalLong omittedBytes() {
    return omittedBytes < 0 ? OptionalLong.empty() : OptionalLong.of(omittedBytes);
  }

  /**
   * {@return the JSON text}
   *
   * @throws NoSuchElementException when the value is not here
   */
  @JsonValue
  @JsonRawValue
  public String json() {
    if (isMissing()) {
      throw new NoSuchElementException("the response has no value here");
    }
    if (json == null) {
      throw new NoSuchElementException("the value was too large for its response");
    }
    return json;
  }

  /**
   * The value as a tree, integers of any size exactly.
   *
   * @throws NoSuchElementException when the value is not here
   */
  public JsonNode node() {
    return JsonText.readTree(json());
  }

  /**
   * The value as a type of your own: a record, a class, {@code Map.class}, {@code long.class} …
   * Properties that the type has not got are skipped: newer workflows add them. For a mapper of
   * your own there is {@link #json()}.
   *
   * @throws NoSuchElementException when the value is not here
   * @throws IllegalArgumentException when it does not fit the type
   */
  public <T> T as(Class<T> type) {
    return JsonText.read(json(), JsonText.typeOf(type));
  }

  /** The same for generic types: {@code value.as(new TypeReference<List<Item>>() {})}. */
  public <T> T as(TypeReference<T> type) {
    return JsonText.read(json(), JsonText.typeOf(type.getType()));
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Value value
        && Objects.equals(json, value.json)
        && omittedBytes == value.omittedBytes;
  }

  @Override
  public int hashCode() {
    return Objects.hash(json, omittedBytes);
  }

  /** The JSON text, for people. */
  @Override
  public String toString() {
    if (isMissing()) {
      return "(no value)";
    }
    return json == null ? "(omitted)" : json;
  }
}
