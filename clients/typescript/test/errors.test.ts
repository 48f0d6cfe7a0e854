import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { suite, test } from "node:test";
import type { Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReasonSchema } from "../src/contract.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../src/generated/google/rpc/error_details_pb.js";
import * as autopilot from "../src/index.js";
import { serving } from "./server.js";

function info(reason: string, domain = "autopilot") {
  return { desc: ErrorInfoSchema as GenMessage<Message>, value: { domain, reason, metadata: { job_id: "j" } } };
}

suite("errors of calls", () => {
  test("each reason of the contract is a class of its own", async (context) => {
    const reasons = ErrorReasonSchema.values.slice(1).map((value) => value.name.replace("ERROR_REASON_", ""));
    const { client } = await serving(context, {
      getStatus: ({ jobId }) => {
        throw new ConnectError("because", Code.NotFound, undefined, [info(jobId)]);
      },
    });
    const classes = new Set<unknown>();
    for (const reason of reasons) {
      const error = await client.get(reason).catch((caught: unknown) => caught);
      assert.ok(error instanceof autopilot.CallError && error instanceof autopilot.AutopilotError);
      assert.equal(error.reason, reason);
      assert.equal(error.name, error.constructor.name);
      assert.deepEqual(error.metadata, { job_id: "j" });
      classes.add(error.constructor);
    }
    assert.equal(classes.size, reasons.length);
    assert.ok(!classes.has(autopilot.CallError));
  });

  test("all details are there", async (context) => {
    const { client } = await serving(context, {
      getStatus: () => {
        throw new ConnectError("no good", Code.InvalidArgument, undefined, [
          info("FIELD_INVALID"),
          { desc: BadRequestSchema, value: { fieldViolations: [{ field: "a", description: "b" }] } },
          { desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n, nanos: 500_000_000 } } },
        ]);
      },
    });
    await assert.rejects(client.get("j"), (error) => {
      assert.ok(error instanceof autopilot.FieldInvalidError);
      assert.equal(error.message, "no good");
      assert.equal(error.code, "INVALID_ARGUMENT");
      assert.deepEqual(error.violations, [{ field: "a", description: "b" }]);
      assert.equal(error.retryDelayMs, 1500);
      assert.ok(error.cause instanceof ConnectError);
      return true;
    });
  });

  test("reasons that are not known keep their text; those of others are not looked at", async (context) => {
    const { client } = await serving(context, {
      getStatus: ({ jobId }) => {
        const detail = jobId === "foreign" ? info("JOB_NOT_FOUND", "example.com") : info(jobId);
        throw new ConnectError("because", Code.NotFound, undefined, [detail]);
      },
    });
    for (const [jobId, reason] of [
      ["FROM_THE_FUTURE", "FROM_THE_FUTURE"],
      ["toString", "toString"],
      ["foreign", ""],
    ] as const) {
      await assert.rejects(client.get(jobId), (error) => {
        assert.ok(error instanceof autopilot.CallError);
        assert.equal(error.constructor, autopilot.CallError);
        assert.equal(error.reason, reason);
        return true;
      });
    }
  });

  test("a server that is not there", async () => {
    const client = new autopilot.Client("127.0.0.1:1");
    await assert.rejects(client.get("j", { timeoutMs: 20_000 }), (error) => {
      assert.ok(error instanceof autopilot.ServerUnreachableError);
      assert.equal(error.code, "UNAVAILABLE");
      return true;
    });
  });

  test("a host that is silent while connecting is given up", async (context) => {
    const silent = createServer(() => undefined);
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const client = new autopilot.Client(`127.0.0.1:${(silent.address() as AddressInfo).port}`, { tls: true });
    context.after(() => {
      client.close();
      silent.close();
    });
    await assert.rejects(client.watch("j", { reconnectForMs: 0 }).next(), autopilot.ServerUnreachableError);
  });
});
