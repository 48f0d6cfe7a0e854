import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import policy from "../src/generated/service_config.js";
import { ServerUnreachableError } from "../src/index.js";
import { aborted, serving } from "./server.js";

function unavailable(): ConnectError {
  return new ConnectError("not now", Code.Unavailable);
}

suite("retries", () => {
  test("the policy is that of all clients", () => {
    const shared = readFileSync(new URL("../../../service_config.json", import.meta.url), "utf8");
    assert.deepEqual(policy, JSON.parse(shared));
  });

  test("a call is repeated, with the request id that it has, and told the time that is left", async (context) => {
    const requestIds: string[] = [];
    const left: number[] = [];
    const { client } = await serving(context, {
      submitJob: ({ requestId }, { timeoutMs }) => {
        requestIds.push(requestId);
        left.push(timeoutMs() ?? Infinity);
        if (requestIds.length < 3) throw unavailable();
        return { job: { jobId: "j" } };
      },
    });
    await client.submit("w", 1, { timeoutMs: 20_000 });
    assert.equal(requestIds.length, 3);
    assert.equal(new Set(requestIds).size, 1);
    const [first = 0, second = 0, third = 0] = left;
    // A pause is 160 ms or more.
    assert.ok(first <= 20_000 && second <= first - 100 && third <= second - 100, String(left));
  });

  test("five tries in all", async (context) => {
    let tries = 0;
    const { client } = await serving(context, {
      getStatus: () => {
        tries += 1;
        throw unavailable();
      },
    });
    await assert.rejects(client.get("j"), ServerUnreachableError);
    assert.equal(tries, 5);
  });

  test("a signal ends the pause", async (context) => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const { client } = await serving(context, {
      getStatus: () => {
        setImmediate(() => {
          controller.abort(reason);
        });
        throw unavailable();
      },
    });
    await assert.rejects(client.get("j", { signal: controller.signal }), reason);
  });

  test("a connection that breaks in the middle of a call is a server that is away", async (context) => {
    let tries = 0;
    const { client, server } = await serving(context, {
      getStatus: async (_, { signal }) => {
        tries += 1;
        if (tries <= 2) {
          server.breakConnections(tries === 1 ? "end" : "reset");
          await aborted(signal);
        }
        return { job: { jobId: "j" } };
      },
    });
    assert.equal((await client.get("j")).jobId, "j");
    assert.equal(tries, 3);
  });

  test("nothing else is repeated", async (context) => {
    let tries = 0;
    const { client } = await serving(context, {
      getStatus: () => {
        tries += 1;
        throw new ConnectError("aborted by the server", Code.Aborted);
      },
    });
    await assert.rejects(client.get("j"), { code: "ABORTED" });
    assert.equal(tries, 1);
  });
});
