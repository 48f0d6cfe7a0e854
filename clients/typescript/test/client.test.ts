import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { PayloadFormat, View, type SubmitJobRequest } from "../src/contract.js";
import { Client, ClientClosedError, DeadlineExceededError, Omitted } from "../src/index.js";
import { aborted, FakeServer, serving } from "./server.js";

suite("calls", () => {
  test("every option of submit is sent", async (context) => {
    const seen: SubmitJobRequest[] = [];
    const { client } = await serving(context, {
      submitJob: (request) => {
        seen.push(request);
        return { job: { jobId: "j" }, deduplicated: true };
      },
    });
    const job = await client.submit(
      "w",
      { n: 2n ** 60n },
      {
        requestId: "r",
        scheduledTime: new Date(1_500),
        executionTimeoutMs: 1_500.5,
        retentionMs: 0,
        retryPolicy: { initialBackoffMs: 10, backoffMultiplier: 1.5 },
        context: null,
        forkFrom: "other",
      },
    );
    assert.equal(job.deduplicated, true);
    const [request] = seen;
    assert.ok(request !== undefined);
    assert.equal(request.requestId, "r");
    assert.deepEqual(request.input?.kind, { case: "jsonText", value: '{"n":1152921504606846976}' });
    assert.deepEqual(request.context?.kind, { case: "jsonText", value: "null" });
    assert.equal(request.scheduledTime?.nanos, 500_000_000);
    assert.deepEqual([request.executionTimeout?.seconds, request.executionTimeout?.nanos], [1n, 500_500_000]);
    assert.deepEqual([request.retention?.seconds, request.retention?.nanos], [0n, 0]);
    assert.equal(request.retryPolicy?.initialBackoff?.nanos, 10_000_000);
    assert.equal(request.retryPolicy.maxBackoff, undefined);
    assert.equal(request.forkFrom?.jobId, "other");
  });

  test("what is not given is not sent", async (context) => {
    const seen: SubmitJobRequest[] = [];
    const { client } = await serving(context, {
      submitJob: (request) => {
        seen.push(request);
        return { job: {} };
      },
    });
    await client.submit("w");
    await client.submit("w", undefined, { jobId: undefined, labels: undefined, priority: undefined });
    for (const request of seen) {
      assert.match(request.requestId, /^[0-9a-f-]{36}$/);
      const { input, jobId, retention, retryPolicy, forkFrom } = request;
      assert.deepEqual(
        { input, jobId, retention, retryPolicy, forkFrom },
        {
          input: undefined,
          jobId: "",
          retention: undefined,
          retryPolicy: undefined,
          forkFrom: undefined,
        },
      );
    }
    assert.notEqual(seen[0]?.requestId, seen[1]?.requestId);
  });

  test("no value, null and a value that was left out differ", async (context) => {
    const { client } = await serving(context, {
      getStatus: () => ({
        job: {
          input: { kind: { case: "jsonText", value: "null" } },
          output: { kind: { case: "omitted", value: { sizeBytes: 5n } } },
          interrupts: [{}],
        },
      }),
    });
    const job = await client.get("j");
    assert.equal(job.input, null);
    assert.ok(job.output instanceof Omitted);
    assert.equal(job.output.sizeBytes, 5);
    assert.equal(job.interrupts[0]?.value, undefined);
  });

  test("states of the future are UNKNOWN", async (context) => {
    const { client } = await serving(context, { getStatus: () => ({ job: { state: 99 as never } }) });
    assert.equal((await client.get("j")).state, "UNKNOWN");
  });

  test("lists are read page by page, as far as the loop goes", async (context) => {
    const asked: string[] = [];
    const { client } = await serving(context, {
      listJobs: ({ pageToken, pageSize, view, payloadFormat, filter }) => {
        asked.push(pageToken);
        assert.deepEqual([pageSize, view, payloadFormat], [2, View.FULL, PayloadFormat.JSON_TEXT]);
        assert.deepEqual(filter?.states, [6]);
        const page = Number(pageToken);
        return { jobs: [{ jobId: `${page}a` }, { jobId: `${page}b` }], nextPageToken: page === 2 ? "" : `${page + 1}` };
      },
    });
    const options = { states: ["FAILED" as const], pageSize: 2, payloads: true };
    const all = [];
    for await (const job of client.list(options)) all.push(job.jobId);
    assert.deepEqual(all, ["0a", "0b", "1a", "1b", "2a", "2b"]);
    asked.length = 0;
    for await (const job of client.list(options)) if (job.jobId === "1a") break;
    assert.deepEqual(asked, ["", "1"]);
  });

  test("a signal ends a call with its reason, and the server is told", async (context) => {
    let told: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (told = resolve));
    const controller = new AbortController();
    const reason = new Error("enough");
    const { client } = await serving(context, {
      getStatus: async (_, { signal }) => {
        controller.abort(reason);
        await aborted(signal);
        told();
        return {};
      },
    });
    await assert.rejects(client.get("j", { signal: controller.signal }), reason);
    await ended;
    await assert.rejects(client.get("j", { signal: controller.signal }), reason);
  });

  test("deadlines: the call's, or else the client's and the wait", async (context) => {
    const seen: (number | undefined)[] = [];
    const { client } = await serving(
      context,
      {
        getStatus: async ({ jobId }, { timeoutMs, signal }) => {
          seen.push(timeoutMs());
          if (jobId === "silent") await aborted(signal);
          return { job: {} };
        },
      },
      { timeoutMs: 40_000 },
    );
    await client.get("j");
    await client.get("j", { waitMs: 100_000 });
    await client.get("j", { waitMs: 100_000, timeoutMs: 9_000.5 });
    const [first = 0, second = 0, third = 0] = seen;
    assert.ok(first > 30_000 && first <= 40_000, String(first));
    assert.ok(second > 130_000 && second <= 140_000, String(second));
    assert.ok(third > 0 && third <= 9_001, String(third));
    await assert.rejects(client.get("silent", { timeoutMs: 100 }), DeadlineExceededError);
    await assert.rejects(client.get("j", { timeoutMs: 0 }), RangeError);
  });

  test("what the wire has no place for is refused before the call", async (context) => {
    const { client } = await serving(context, {});
    await assert.rejects(client.submit("w", null, { priority: 1.5 }), RangeError);
    await assert.rejects(client.submit("w", null, { stepLimit: 2 ** 31 }), RangeError);
    await assert.rejects(client.submit("w", NaN), TypeError);
    await assert.rejects(client.resume("j", { answers: { q: [undefined] } }), TypeError);
    await assert.rejects(client.prune(Infinity), RangeError);
  });

  test("a closed client says so, and ends what is open", async (context) => {
    const { client } = await serving(context, {
      getStatus: async (_, { signal }) => {
        client.close();
        await aborted(signal);
        return {};
      },
    });
    await assert.rejects(client.get("j"), ClientClosedError);
    await assert.rejects(client.get("j"), ClientClosedError);
    await assert.rejects(client.submit("w"), ClientClosedError);
  });

  test("a server at a unix socket", async (context) => {
    const folder = await mkdtemp(join(tmpdir(), "socket-"));
    const path = join(folder, "s");
    const server = new FakeServer({ getStatus: ({ jobId }) => ({ job: { jobId } }) });
    await server.start({ path });
    const client = new Client(`unix:${path}`);
    context.after(async () => {
      client.close();
      server.close();
      await rm(folder, { recursive: true });
    });
    assert.equal((await client.get("j")).jobId, "j");
  });
});
