import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseJson, stringifyJson } from "../src/index.js";

suite("JSON in", () => {
  test("integers are exact, and bigints only where they must be", () => {
    assert.deepEqual(parseJson("[1, 9007199254740991, 9007199254740992, 9007199254740993, -9223372036854775808]"), [
      1,
      9007199254740991,
      9007199254740992n,
      9007199254740993n,
      -9223372036854775808n,
    ]);
  });

  test("what has a fraction or an exponent is a double, however long", () => {
    assert.deepEqual(
      parseJson("[1.0, 1e20, 0.1000000000000000055511151231257827, 9007199254740993.0]"),
      [1, 1e20, 0.1, 9007199254740992],
    );
  });

  test("long digits in texts stay texts", () => {
    assert.deepEqual(parseJson('{"9007199254740993": "9007199254740993"}'), { "9007199254740993": "9007199254740993" });
  });

  test("no key reaches a prototype", () => {
    for (const number of ["1", "9007199254740993"]) {
      const value = parseJson(`{"__proto__": {"polluted": ${number}}}`) as object;
      assert.equal(Object.getPrototypeOf(value), Object.prototype);
      assert.deepEqual(Object.keys(value), ["__proto__"]);
      assert.ok(!("polluted" in {}));
    }
  });

  test("what is no JSON is a SyntaxError", () => {
    for (const text of ["", "{", "NaN", "01", "[9007199254740993", "[9007199254740993,]"]) {
      assert.throws(() => parseJson(text), SyntaxError, text);
    }
  });
});

suite("JSON out", () => {
  test("bigints are integers", () => {
    assert.equal(stringifyJson({ n: [9007199254740993n, -1n, 5] }), '{"n":[9007199254740993,-1,5]}');
  });

  test("a double is a double when it comes back", () => {
    for (const value of [0.1, 1e20, 2 ** 53, -(2 ** 63), 1.7976931348623157e308, 5e-324, -0]) {
      const back = parseJson(stringifyJson(value));
      assert.ok(Object.is(back, value), `${value} became another`);
    }
    assert.equal(stringifyJson(1e20), "1e+20");
  });

  test("like JSON.stringify: dates, toJSON, classes, members that are undefined", () => {
    class Point {
      readonly x = 1;
      readonly missing = undefined;
    }
    assert.equal(
      stringifyJson([new Point(), new Date(0), { toJSON: () => "itself" }, Object.create(null), null, "ä\u2028\n"]),
      '[{"x":1},"1970-01-01T00:00:00.000Z","itself",{},null,"ä\u2028\\n"]',
    );
  });

  test("what JSON has not got is refused", () => {
    const itself: unknown[] = [];
    itself.push(itself);
    const refused = [
      ...[NaN, Infinity, -Infinity, undefined, Symbol("s"), () => 1],
      ...[new Map([[1, 2]]), new Set([1]), /x/, new Error("e"), new Uint8Array(1), Promise.resolve(), itself],
    ];
    for (const value of refused) {
      assert.throws(() => stringifyJson(value), TypeError);
      if (value !== undefined) assert.throws(() => stringifyJson({ deep: [value] }), TypeError);
    }
    assert.throws(() => stringifyJson([undefined]), TypeError);
    assert.throws(() => stringifyJson({ ratio: NaN }), { message: 'JSON has no NaN (at "ratio")' });
  });
});
