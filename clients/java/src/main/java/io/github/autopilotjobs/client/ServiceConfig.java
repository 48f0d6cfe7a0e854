package io.github.autopilotjobs.client;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A gRPC service config from JSON: as Java's maps and lists, all numbers doubles. */
final class ServiceConfig {
  private ServiceConfig() {}

  static Map<String, Object> read(String json) {
    return object(JsonText.readTree(json));
  }

  private static Map<String, Object> object(JsonNode node) {
    Map<String, Object> object = new LinkedHashMap<>();
    node.properties().forEach(entry -> object.put(entry.getKey(), value(entry.getValue())));
    return object;
  }

  private static Object value(JsonNode node) {
    return switch (node.getNodeType()) {
      case OBJECT -> object(node);
      case ARRAY -> list(node);
      case NUMBER -> node.doubleValue();
      case BOOLEAN -> node.booleanValue();
      case STRING -> node.textValue();
      default -> null;
    };
  }

  private static List<Object> list(JsonNode node) {
    List<Object> list = new ArrayList<>();
    node.forEach(item -> list.add(value(item)));
    return list;
  }
}
