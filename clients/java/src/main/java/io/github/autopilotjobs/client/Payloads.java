package io.github.autopilotjobs.client;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.google.protobuf.Struct;
import io.github.autopilotjobs.v1.Payload;

/** The contract's payloads from values, and back. */
final class Payloads {
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
  private static final double TWO_TO_63 = 0x1p63;

  private Payloads() {}

  static Payload of(Object value) {
    return Payload.newBuilder().setJsonText(Value.of(value).json()).build();
  }

  static Value value(Payload payload) {
    return switch (payload.getKindCase()) {
      case JSON_TEXT -> Value.ofJson(payload.getJsonText());
      case JSON -> Value.ofJson(node(payload.getJson()).toString());
      case OMITTED -> Value.ofOmitted(payload.getOmitted().getSizeBytes());
      case KIND_NOT_SET -> Value.MISSING;
    };
  }

  static Value value(Struct struct) {
    return Value.ofJson(object(struct).toString());
  }

  private static JsonNode node(com.google.protobuf.Value value) {
    return switch (value.getKindCase()) {
      case STRING_VALUE -> NODES.textNode(value.getStringValue());
      case BOOL_VALUE -> NODES.booleanNode(value.getBoolValue());
      case NUMBER_VALUE -> number(value.getNumberValue());
      case LIST_VALUE -> {
        var list = NODES.arrayNode();
        value.getListValue().getValuesList().forEach(item -> list.add(node(item)));
        yield list;
      }
      case STRUCT_VALUE -> object(value.getStructValue());
      case NULL_VALUE, KIND_NOT_SET -> NODES.nullNode();
    };
  }

  private static JsonNode object(Struct struct) {
    var object = NODES.objectNode();
    struct.getFieldsMap().forEach((key, value) -> object.set(key, node(value)));
    return object;
  }

  /** Whole numbers are integers, as they were before they were doubles. */
  private static JsonNode number(double value) {
    if (!Double.isFinite(value)) {
      return NODES.nullNode();
    }
    boolean whole = value == Math.rint(value) && Math.abs(value) < TWO_TO_63;
    return whole ? NODES.numberNode((long) value) : NODES.numberNode(value);
  }
}
