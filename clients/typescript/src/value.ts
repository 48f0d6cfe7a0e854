import { create, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { PayloadSchema, type Payload } from "./generated/autopilot/v1/job_pb.js";
import { parseJson, stringifyJson, type JsonValue } from "./json.js";

/** Stands for a value that was too large for its response. */
export class Omitted {
  constructor(readonly sizeBytes: number) {}
}

/** A JSON value; `undefined` when the response has none, which is not null; or {@link Omitted}. */
export type Value = JsonValue | Omitted | undefined;

/** A value as exact JSON text. */
export function payload(value: unknown): Payload {
  return create(PayloadSchema, { kind: { case: "jsonText", value: stringifyJson(value) } });
}

/** A value that may not be given: undefined is not. */
export function optionalPayload(value: unknown): Payload | undefined {
  return value === undefined ? undefined : payload(value);
}

export function valueOf(message: Payload | undefined): Value {
  switch (message?.kind.case) {
    case "jsonText":
      return parseJson(message.kind.value);
    case "json":
      return toJson(ValueSchema, message.kind.value);
    case "omitted":
      return new Omitted(Number(message.kind.value.sizeBytes));
    default:
      return undefined;
  }
}
