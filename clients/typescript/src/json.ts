import { parse, stringify } from "lossless-json";

/**
 * A JSON value. An integer is a `number` where that has it exactly, up to ±(2^53-1), and a `bigint` beyond.
 */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | { [key: string]: JsonValue };

/**
 * Reads JSON as the client does: no integer is rounded.
 *
 * @throws SyntaxError of what is no JSON.
 */
export function parseJson(text: string): JsonValue {
  // JSON.parse is ten times as fast, and exact where no number is long.
  return (LONG_NUMBER.test(text) ? parse(text, null, exactNumber) : JSON.parse(text)) as JsonValue;
}

const LONG_NUMBER = /\d{16}/;
const INTEGER = /^-?\d+$/;

function exactNumber(text: string): number | bigint {
  const value = Number(text);
  return INTEGER.test(text) && !Number.isSafeInteger(value) ? BigInt(text) : value;
}

/**
 * Writes JSON as the client does: like `JSON.stringify`, but a `bigint` is an integer, and what would silently become
 * something else (NaN, infinities, a Map, `undefined` in a list) is refused.
 *
 * @throws TypeError of what JSON has not got.
 */
export function stringifyJson(value: unknown): string {
  try {
    const text = stringify(value, refuseOthers, undefined, [{ test: isNumber, stringify: numberText }]);
    if (text !== undefined) return text;
  } catch (error) {
    if (error instanceof RangeError) throw new TypeError("the value contains itself, or is too deep for JSON");
    throw error;
  }
  throw new TypeError(`JSON has no ${typeof value}`);
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function numberText(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  const number = value as number;
  if (Object.is(number, -0)) return "-0.0";
  // Whole, but not exact: a double, which must not be taken for an integer.
  if (Number.isInteger(number) && !Number.isSafeInteger(number)) return number.toExponential();
  return String(number);
}

function refuseOthers(this: unknown, key: string, value: unknown): unknown {
  const where = key === "" ? "" : ` (at ${JSON.stringify(key)})`;
  if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`JSON has no ${value}${where}`);
  if (typeof value === "function" || typeof value === "symbol")
    throw new TypeError(`JSON has no ${typeof value}${where}`);
  if (value === undefined && Array.isArray(this)) throw new TypeError(`JSON has no undefined${where}`);
  if (typeof value === "object" && value !== null && !isPlain(value)) {
    throw new TypeError(`JSON has no ${value.constructor.name}${where}`);
  }
  return value;
}

/** A list, an object (of a class or not), or what says itself how it is JSON; and no Map, Set, Error, Uint8Array … */
function isPlain(value: object): boolean {
  if (Array.isArray(value) || "toJSON" in value) return true;
  return ["[object Object]", "[object String]", "[object Number]", "[object Boolean]"].includes(
    Object.prototype.toString.call(value),
  );
}
