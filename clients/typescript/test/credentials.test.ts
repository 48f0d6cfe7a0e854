import assert from "node:assert/strict";
import { inspect } from "node:util";
import { suite, test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { Client } from "../src/index.js";
import { serving } from "./server.js";

suite("credentials", () => {
  test("a function is asked for each try", async (context) => {
    const seen: (string | null)[] = [];
    let asked = 0;
    const { client } = await serving(
      context,
      {
        getStatus: (_, { requestHeader }) => {
          seen.push(requestHeader.get("authorization"));
          if (seen.length === 1) throw new ConnectError("not now", Code.Unavailable);
          return { job: {} };
        },
      },
      { token: () => Promise.resolve(`token-${++asked}`) },
    );
    await client.get("j");
    await client.get("j");
    assert.deepEqual(seen, ["Bearer token-1", "Bearer token-2", "Bearer token-3"]);
  });

  test("the error of a function is the call's, of a watch as well", async (context) => {
    const failure = new Error("the vault is closed");
    const { client } = await serving(context, {}, { token: () => Promise.reject(failure) });
    await assert.rejects(client.get("j"), failure);
    await assert.rejects(client.watch("j").next(), failure);
  });

  test("a token out of form is refused, and not named", async (context) => {
    for (const token of ["", "two words", "line\n", "ü"]) {
      assert.throws(
        () => new Client("127.0.0.1:1", { token }),
        (error: Error) => {
          assert.ok(error instanceof TypeError);
          assert.ok(token === "" || !error.message.includes(token));
          return true;
        },
      );
      const { client } = await serving(context, {}, { token: () => token });
      await assert.rejects(client.get("j"), TypeError);
    }
  });

  test("a token does not go to other machines over plain text", () => {
    for (const address of [
      "example.com:443",
      "10.0.0.1:443",
      "127.example.com:443",
      "localhost.example.com:1",
      "[::2]:1",
    ]) {
      assert.throws(() => new Client(address, { token: "secret" }), /plain text/, address);
      new Client(address, { token: "secret", insecure: true }).close();
      new Client(address, { token: "secret", tls: true }).close();
    }
    for (const address of ["localhost:1", "127.9.9.9:1", "[::1]:1", "unix:/run/autopilot.sock"]) {
      new Client(address, { token: "secret" }).close();
    }
  });

  test("a token stands in no text of the client, nor of its errors", async (context) => {
    const { client } = await serving(
      context,
      {
        getStatus: () => {
          throw new ConnectError("no", Code.NotFound);
        },
      },
      { token: "hunter2" },
    );
    assert.doesNotMatch(inspect(client, { depth: 20, showHidden: true }), /hunter2/);
    const error = await client.get("j").catch((caught: unknown) => caught);
    assert.ok(error instanceof Error);
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /hunter2/);
  });

  test("an address is a host and a port", () => {
    for (const address of [
      "",
      "localhost",
      "http://localhost:1",
      "localhost:1/path",
      "user@localhost:1",
      ":1",
      "a b:1",
    ]) {
      assert.throws(() => new Client(address), /host:port/, address);
    }
  });
});
