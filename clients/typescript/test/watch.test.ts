import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { JobState } from "../src/contract.js";
import { follow } from "../src/follow.js";
import { CallError, Client, ClientClosedError, ServerUnreachableError, type JobEvent } from "../src/index.js";
import { aborted, FakeServer, serving } from "./server.js";

function events(...sequences: number[]) {
  return {
    events: sequences.map((sequence) => ({ sequence: BigInt(sequence) })),
    throughSequence: BigInt(sequences.at(-1) ?? 0),
  };
}

/** A server whose watches send one event, and then nothing; `ended` resolves when one ends. */
function quiet() {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const handlers = {
    async *watchProgress(_: unknown, { signal }: { signal: AbortSignal }) {
      yield events(1);
      await aborted(signal);
      end();
    },
  };
  return { handlers, ended };
}

async function sequences(watch: AsyncIterable<JobEvent>): Promise<number[]> {
  const seen = [];
  for await (const event of watch) seen.push(event.sequence);
  return seen;
}

suite("watch", () => {
  test("leaving the loop ends the call", async (context) => {
    const { handlers, ended } = quiet();
    const { client } = await serving(context, handlers);
    for await (const event of client.watch("j")) {
      assert.equal(event.sequence, 1);
      break;
    }
    await ended;
  });

  test("an exception in the loop ends the call", async (context) => {
    const { handlers, ended } = quiet();
    const { client } = await serving(context, handlers);
    const mine = new Error("mine");
    const loop = async () => {
      for await (const event of client.watch("j")) {
        assert.equal(event.sequence, 1);
        throw mine;
      }
    };
    await assert.rejects(loop(), mine);
    await ended;
  });

  test("return ends a next that waits", async (context) => {
    const { handlers, ended } = quiet();
    const { client } = await serving(context, handlers);
    const watch = client.watch("j");
    await watch.next();
    const waiting = watch.next();
    await watch.return();
    assert.deepEqual(await waiting, { done: true, value: undefined });
    assert.deepEqual(await watch.next(), { done: true, value: undefined });
    await ended;
  });

  test("a signal ends it with its reason", async (context) => {
    const { handlers, ended } = quiet();
    const { client } = await serving(context, handlers);
    const controller = new AbortController();
    const watch = client.watch("j", { signal: controller.signal });
    await watch.next();
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(watch.next(), reason);
    await ended;
    await assert.rejects(client.watch("j", { signal: controller.signal }).next(), reason);
  });

  test("a signal ends the pause before another try", async () => {
    const client = new Client("127.0.0.1:1");
    await assert.rejects(client.watch("j", { signal: AbortSignal.timeout(300) }).next(), { name: "TimeoutError" });
  });

  test("closing the client ends it", async (context) => {
    const { handlers } = quiet();
    const { client } = await serving(context, handlers);
    const watch = client.watch("j");
    await watch.next();
    const waiting = watch.next();
    client.close();
    await assert.rejects(waiting, ClientClosedError);
    await assert.rejects(client.watch("j").next(), ClientClosedError);
  });

  test("it goes on from its place, and each stored event is seen once", async (context) => {
    const places: bigint[] = [];
    const { client, server } = await serving(context, {
      async *watchProgress({ afterSequence }, { signal }) {
        places.push(afterSequence);
        switch (places.length) {
          case 1:
            yield events(1, 2);
            yield events(0, 3);
            throw new ConnectError("broken", Code.Internal);
          case 2:
            yield events(2, 3, 4);
            await aborted(signal);
            break;
          case 3:
            yield { throughSequence: 6n }; // a heartbeat
            throw new ConnectError("broken", Code.Unavailable);
          default:
            yield events(7);
        }
      },
    });
    const seen = [];
    for await (const { sequence } of client.watch("j")) {
      seen.push(sequence);
      if (sequence === 4) server.breakConnections("reset");
    }
    assert.deepEqual(seen, [1, 2, 0, 3, 4, 7]);
    assert.deepEqual(places, [0n, 3n, 4n, 6n]);
  });

  test("it goes on with a server that was away", async (context) => {
    const first = new FakeServer({
      async *watchProgress(_, { signal }) {
        yield events(1);
        await aborted(signal);
      },
    });
    await first.start();
    const client = new Client(first.address);
    const second = new FakeServer({
      // eslint-disable-next-line @typescript-eslint/require-await
      async *watchProgress({ afterSequence }) {
        yield events(Number(afterSequence) + 1);
      },
    });
    context.after(() => {
      client.close();
      second.close();
    });
    const watch = client.watch("j");
    assert.equal((await watch.next()).value?.sequence, 1);
    const { port } = first;
    first.close();
    await assert.rejects(client.get("j", { timeoutMs: 1 }));
    await second.start({ port });
    assert.deepEqual(await sequences(watch), [2]);
  });

  test("what will not pass ends it, and so does a break that lasts", async (context) => {
    const { client } = await serving(context, {
      // eslint-disable-next-line @typescript-eslint/require-await
      async *watchProgress({ jobId }) {
        throw new ConnectError("no", jobId === "gone" ? Code.NotFound : Code.Unavailable);
      },
    });
    await assert.rejects(client.watch("gone").next(), { code: "NOT_FOUND" });
    await assert.rejects(client.watch("away", { reconnectForMs: 0 }).next(), ServerUnreachableError);
    await assert.rejects(client.watch("away", { reconnectForMs: 200 }).next(), ServerUnreachableError);
  });

  test("a slow reader is not read ahead for", async (context) => {
    const total = 400;
    let sent = 0;
    const { client } = await serving(context, {
      async *watchProgress() {
        // Of what gzip does not make small.
        const text = randomBytes(75_000).toString("base64");
        for (; sent < total; sent++) {
          const kind = { case: "tokenChunk", value: { text } } as const;
          yield { events: [{ sequence: BigInt(sent + 1), kind }], throughSequence: BigInt(sent + 1) };
          await new Promise(setImmediate);
        }
      },
      getStatus: () => ({ job: {} }),
    });
    const watch = client.watch("j");
    await watch.next();
    // The connection goes on meanwhile: 100 calls have time for much more than the rest of the events.
    for (let call = 0; call < 100; call++) await client.get("j");
    assert.ok(sent < 10, `${sent} of ${total} were sent`);
    assert.equal((await sequences(watch)).length, total - 1);
  });
});

suite("follow and run", () => {
  test("an INTERRUPTED of the past is an event like the others", async (context) => {
    const change = (sequence: number, to: JobState) => ({
      events: [{ sequence: BigInt(sequence), kind: { case: "stateChanged", value: { to } } as const }],
      throughSequence: BigInt(sequence),
    });
    let reads = 0;
    const { client } = await serving(context, {
      submitJob: () => ({ job: { jobId: "j" } }),
      getStatus: () => {
        reads += 1;
        const state = reads < 2 ? JobState.RUNNING : JobState.SUCCEEDED;
        return { job: { jobId: "j", state, latestSequence: 3n, output: { kind: { case: "jsonText", value: "7" } } } };
      },
      // eslint-disable-next-line @typescript-eslint/require-await
      async *watchProgress() {
        yield change(1, JobState.INTERRUPTED);
        yield change(2, JobState.RUNNING);
        yield change(3, JobState.SUCCEEDED);
      },
    });
    const states: string[] = [];
    const output = await client.run<number>("w", null, {
      onEvent: (event) => event.kind === "StateChanged" && states.push(event.to),
    });
    assert.equal(output, 7);
    assert.deepEqual(states, ["INTERRUPTED", "RUNNING", "SUCCEEDED"]);
    assert.equal(reads, 2);
  });

  test("closing the client ends the pause before the job is read again", async () => {
    const closing = new AbortController();
    const details = { code: "RESOURCE_EXHAUSTED", reason: "", message: "full", metadata: {}, violations: [] } as const;
    const reader = {
      get: () => {
        closing.abort(new ClientClosedError());
        return Promise.reject(new CallError({ ...details, violations: [], retryDelayMs: 3_600_000 }));
      },
      watch: () => assert.fail("there is nothing to watch"),
    };
    await assert.rejects(follow(reader, "j", {}, closing.signal), ClientClosedError);
  });

  test("an error of onEvent is the caller's", async (context) => {
    const { handlers, ended } = quiet();
    const { client } = await serving(context, {
      ...handlers,
      getStatus: () => ({ job: { jobId: "j", state: JobState.RUNNING } }),
    });
    const mine = new Error("mine");
    await assert.rejects(client.follow("j", { onEvent: () => Promise.reject(mine) }), mine);
    await ended;
  });
});
