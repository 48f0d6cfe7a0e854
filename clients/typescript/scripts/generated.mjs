// Takes what other parts of the repository have into src/generated: the contract's code, and the retry policy.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const target = new URL("../src/generated/", import.meta.url);
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
for (const name of ["autopilot", "google"]) {
  const source = new URL(`../../../generated/typescript/${name}/`, import.meta.url);
  cpSync(source, new URL(`${name}/`, target), { recursive: true, preserveTimestamps: true });
}
const policy = readFileSync(new URL("../../service_config.json", import.meta.url), "utf8");
writeFileSync(
  new URL("service_config.ts", target),
  `// From clients/service_config.json.\nexport default ${policy.trim()} as const;\n`,
);
