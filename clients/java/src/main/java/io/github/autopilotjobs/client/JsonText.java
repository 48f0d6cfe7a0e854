package io.github.autopilotjobs.client;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;

/** JSON text from Java's values, and back. */
final class JsonText {
  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          // NaN and infinities stay what JSON has not got, so that they are found.
          .disable(JsonWriteFeature.WRITE_NAN_AS_STRINGS)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private JsonText() {}

  /** The text of a value. IllegalArgumentException: JSON has not got it. */
  static String write(Object value) {
    try {
      String text = MAPPER.writeValueAsString(value);
      check(text);
      return text;
    } catch (JsonProcessingException error) {
      throw new IllegalArgumentException("not a JSON value: " + error.getOriginalMessage(), error);
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
  }

  private static void check(String text) throws IOException {
    try (JsonParser parser = MAPPER.createParser(text)) {
      while (parser.nextToken() != null) {
        parser.skipChildren();
      }
    }
    // Protocol buffers would write a question mark for half a surrogate pair.
    if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
      throw new IllegalArgumentException("not a JSON value: a text has half a character");
    }
  }

  static JavaType typeOf(Type type) {
    return MAPPER.constructType(type);
  }

  static <T> T read(String text, JavaType type) {
    try {
      return MAPPER.readValue(text, type);
    } catch (JsonProcessingException error) {
      String message = "the value does not fit " + type.toCanonical();
      throw new IllegalArgumentException(message + ": " + error.getOriginalMessage(), error);
    }
  }

  static JsonNode readTree(String text) {
    return read(text, typeOf(JsonNode.class));
  }
}
