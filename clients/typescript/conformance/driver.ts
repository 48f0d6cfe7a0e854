// The driver of the TypeScript client: see clients/conformance/README.md.
import { createInterface } from "node:readline";
import { Client, parseJson, stringifyJson, type JobEvent, type Watch } from "../src/index.js";
import { checkpointJson, errorJson, eventJson, jobJson, valueJson, workflowJson } from "./answers.js";
import * as given from "./arguments.js";
import type { Command } from "./arguments.js";

/** Carries out commands. */
class Driver {
  #client = new Client();
  #watch: Watch | undefined;

  async carryOut(command: Command): Promise<unknown> {
    const client = this.#client;
    const id = command.job_id ?? "";
    switch (command.call) {
      case "connect":
        this.#connect(command);
        return null;
      case "close":
        client.close();
        return null;
      case "submit":
        return jobJson(await client.submit(command.workflow ?? "", command.input, given.submitOptions(command)));
      case "run":
        return this.#run(command);
      case "get":
        return jobJson(await client.get(id, given.getOptions(command)));
      case "follow":
        return jobJson(await client.follow(id));
      case "list":
        return all(client.list(given.listOptions(command)), jobJson);
      case "watch":
        await this.#watch?.return();
        this.#watch = client.watch(id, given.watchOptions(command));
        return null;
      case "next":
        return this.#next(command.count ?? 1);
      case "unwatch":
        await this.#watch?.return();
        return null;
      case "cancel":
        return jobJson(await client.cancel(id, given.cancelOptions(command)));
      case "resume":
        return jobJson(await client.resume(id, given.resumeOptions(command)));
      case "delete":
        await client.delete(id, { etag: command.etag, allowMissing: command.allow_missing });
        return null;
      case "checkpoints":
        return all(client.checkpoints(id, { payloads: command.values, pageSize: command.page_size }), checkpointJson);
      case "prune":
        return this.#prune(command);
      case "workflows":
        return all(client.workflows(), workflowJson);
      default:
        throw new Error(`there is no call ${command.call}`);
    }
  }

  #connect(command: Command): void {
    const client = new Client(command.address, given.clientOptions(command));
    this.#client.close();
    this.#client = client;
  }

  async #run(command: Command): Promise<unknown> {
    let events = 0;
    const onEvent = () => {
      events += 1;
    };
    const options = { ...given.submitOptions(command), onEvent };
    const output = await this.#client.run(command.workflow ?? "", command.input, options);
    return { ...valueJson("output", output), events };
  }

  async #next(count: number): Promise<unknown> {
    const events: JobEvent[] = [];
    while (events.length < count && this.#watch !== undefined) {
      const { done, value } = await this.#watch.next();
      if (done === true) return { events: events.map(eventJson), ended: true };
      events.push(value);
    }
    return { events: events.map(eventJson), ended: false };
  }

  async #prune(command: Command): Promise<unknown> {
    const options = { ...given.filter(command), checkpointsOnly: command.checkpoints_only, dryRun: command.dry_run };
    const pruned = await this.#client.prune((command.finished_for ?? 0) * 1000, options);
    return { deleted_jobs: pruned.deletedJobs, deleted_checkpoints: pruned.deletedCheckpoints };
  }
}

async function all<Item>(items: AsyncIterable<Item>, convert: (item: Item) => unknown): Promise<unknown[]> {
  const found = [];
  for await (const item of items) found.push(convert(item));
  return found;
}

const driver = new Driver();
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const answer = await driver.carryOut(parseJson(line) as unknown as Command).then(
    (ok) => ({ ok }),
    (error: unknown) => ({ error: errorJson(error) }),
  );
  process.stdout.write(`${stringifyJson(answer)}\n`);
}
