import { setTimeout as pause } from "node:timers/promises";
import { ConnectError, type Interceptor, type UnaryRequest } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import serviceConfig from "./generated/service_config.js";
import { codeOf } from "./errors.js";

/** gRPC's service config, as far as clients/service_config.json uses it. */
export interface ServiceConfig {
  readonly methodConfig: readonly MethodConfig[];
}

interface MethodConfig {
  readonly name: readonly { readonly service: string; readonly method?: string }[];
  readonly retryPolicy?: {
    readonly maxAttempts: number;
    readonly initialBackoff: string;
    readonly maxBackoff: string;
    readonly backoffMultiplier: number;
    readonly retryableStatusCodes: readonly string[];
  };
}

type Policy = NonNullable<MethodConfig["retryPolicy"]>;

/**
 * Repeats calls as the service config says, which connect does not do by itself: the same tries, pauses and codes as
 * gRPC's own. Retries are safe: submit and resume carry a request id, the others may be repeated.
 */
export function retrying(config: ServiceConfig = serviceConfig): Interceptor {
  return (next) => async (request) => {
    const policy = policyOf(config, request.method.parent.typeName, request.method.name);
    if (policy === undefined || request.stream) return next(request);
    const tries = new Tries(policy, request);
    for (;;) {
      try {
        return await next(request);
      } catch (error) {
        await tries.bear(error);
      }
    }
  };
}

/** As gRPC has it: an entry for the method counts before one for its service. */
function policyOf(config: ServiceConfig, service: string, method: string): Policy | undefined {
  const names = (wanted: string | undefined) => (entry: MethodConfig) =>
    entry.name.some((name) => name.service === service && name.method === wanted);
  const found = config.methodConfig.find(names(method)) ?? config.methodConfig.find(names(undefined));
  return found?.retryPolicy;
}

class Tries {
  readonly #began = performance.now();
  readonly #timeout: string | null;
  #made = 1;

  constructor(
    readonly policy: Policy,
    readonly request: UnaryRequest,
  ) {
    this.#timeout = request.header.get("grpc-timeout");
  }

  /** Waits before another try; or throws the error, when it is the last. */
  async bear(error: unknown): Promise<void> {
    if (!isRetryable(this.policy, error) || this.#made >= this.policy.maxAttempts) throw error;
    try {
      await pause(this.#backoff(), undefined, { signal: this.request.signal });
    } catch {
      throw error; // the deadline, or the caller, ended the call
    }
    this.#made += 1;
    this.#tellTimeLeft();
  }

  /** Jittered as gRPC does it. */
  #backoff(): number {
    const { initialBackoff, maxBackoff, backoffMultiplier } = this.policy;
    const longest = Math.min(
      milliseconds(initialBackoff) * backoffMultiplier ** (this.#made - 1),
      milliseconds(maxBackoff),
    );
    return longest * (0.8 + 0.4 * Math.random());
  }

  /** Connect tells the server the whole timeout with each try. */
  #tellTimeLeft(): void {
    if (this.#timeout === null) return;
    const left = Number.parseInt(this.#timeout) - (performance.now() - this.#began);
    this.request.header.set("grpc-timeout", `${Math.max(1, Math.ceil(left))}m`);
  }
}

function isRetryable(policy: Policy, error: unknown): boolean {
  const retryable = policy.retryableStatusCodes.map((name) => Code[pascal(name) as keyof typeof Code]);
  return error instanceof ConnectError && retryable.includes(codeOf(error));
}

/** FAILED_PRECONDITION → FailedPrecondition, as connect writes it. */
function pascal(name: string): string {
  return name.toLowerCase().replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** "0.2s" → 200 */
function milliseconds(duration: string): number {
  return Number.parseFloat(duration) * 1000;
}
