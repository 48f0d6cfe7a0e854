import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const folder = fileURLToPath(new URL("../..", import.meta.url));
const tsc = join(folder, "node_modules", "typescript", "bin", "tsc");

interface Packed {
  filename: string;
  files: { path: string }[];
}

async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, maxBuffer: 1 << 24 }).catch((error: unknown) => {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")}: ${stdout}${stderr}`);
  });
  return stdout;
}

// As somebody's own project: everything checked, declarations of libraries as well.
const CONSUMER = {
  "package.json": JSON.stringify({ name: "consumer", private: true, type: "module" }),
  "tsconfig.json": JSON.stringify({
    compilerOptions: { target: "es2022", module: "nodenext", strict: true, skipLibCheck: false, types: ["node"] },
    files: ["main.ts"],
  }),
  "main.ts": `
import { Client, JobNotFoundError, parseJson, type Job, type JobEvent } from "@autopilot-jobs/client";
import { JobService } from "@autopilot-jobs/client/contract";

export async function report(client: Client, signal: AbortSignal): Promise<number> {
  const job: Job = await client.submit("report", { rows: 2n ** 60n }, { labels: { team: "blue" }, signal });
  const last: JobEvent[] = [];
  for await (const event of client.watch(job.jobId, { signal })) {
    if (event.kind === "StepFinished") console.log(event.step, event.durationMs);
    last.push(event);
  }
  // @ts-expect-error: a state is one of the contract's
  client.list({ states: ["DONE"] });
  return client.run<number>("report").catch((error: unknown) => {
    if (error instanceof JobNotFoundError) return Number(error.metadata["job_id"]);
    throw error;
  });
}

const client = new Client("127.0.0.1:1");
const error = await client.get("j", { timeoutMs: 60_000 }).catch((caught: unknown) => caught);
client.close();
console.log((error as Error).name, JobService.typeName, parseJson("9007199254740993"));
`,
};

suite("the package", () => {
  test("has what it should, and a project that installs it compiles and runs", async (context) => {
    const consumer = await mkdtemp(join(tmpdir(), "consumer-"));
    context.after(() => rm(consumer, { recursive: true, force: true }));
    const [packed] = JSON.parse(await run(folder, "npm", "pack", "--json", "--pack-destination", consumer)) as [Packed];
    const paths = packed.files.map((file) => file.path);
    for (const wanted of ["LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts", "src/index.ts"]) {
      assert.ok(paths.includes(wanted), `${wanted} is not packed`);
    }
    const others = paths.filter((path) => !/^(dist|src)\/|^(LICENSE|README\.md|package\.json)$/.test(path));
    assert.deepEqual(others, []);
    for (const [name, text] of Object.entries(CONSUMER)) await writeFile(join(consumer, name), text);
    const quietly = ["--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--silent"];
    await run(consumer, "npm", "install", ...quietly, packed.filename, "@types/node@20");
    await run(consumer, process.execPath, tsc);
    const said = await run(consumer, process.execPath, "main.js");
    assert.equal(said.trim(), "ServerUnreachableError autopilot.v1.JobService 9007199254740993n");
  });
});
