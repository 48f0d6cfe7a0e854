import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions, type SecureContextOptions } from "node:tls";
import { Code, ConnectError, createClient, type Client as Stub, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { bearer, checkToken, TokenFailure, type Token } from "./credentials.js";
import { callError, ClientClosedError } from "./errors.js";
import { JobService } from "./generated/autopilot/v1/job_service_pb.js";
import type { CallOptions } from "./options.js";
import { retrying } from "./retries.js";

// Room for a server with a larger payload limit.
const MAX_RESPONSE_BYTES = 16 << 20;
const DEFAULT_TIMEOUT_MS = 30_000;
// gRPC has eight digits for it.
const LONGEST_TIMEOUT_MS = 99_999_999;

/** How to reach a server. */
export interface ClientOptions {
  /** TLS: `true` trusts Node's authorities; PEM texts name others, and a certificate of the client's own. */
  tls?: boolean | TlsOptions | undefined;
  /** Sent with each call: over TLS and to this machine; elsewhere only with `insecure`. */
  token?: Token | undefined;
  /** Send tokens over plain text to other machines as well: for where something else protects the way. */
  insecure?: boolean | undefined;
  /** How long a call may take that does not say. Default 30 000. A watch takes any time. */
  timeoutMs?: number | undefined;
  /** Connect's interceptors, for traces and the like. They see each call once, whatever its tries. */
  interceptors?: Interceptor[] | undefined;
}

/** What TLS takes from Node's own options. */
export interface TlsOptions extends Pick<SecureContextOptions, "ca" | "cert" | "key" | "passphrase"> {
  /** The name that the certificate must have, where it is not the address's. */
  servername?: string | undefined;
}

/** Makes calls of one server, over one connection. */
export class Connection {
  readonly #stub: Stub<typeof JobService>;
  readonly #sessions: Http2SessionManager;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();

  constructor(address: string, options: ClientOptions) {
    const tls = options.tls !== undefined && options.tls !== false;
    const { token, insecure = false } = options;
    if (token !== undefined) checkToken(token, address, tls || insecure);
    this.#timeoutMs = checkTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    this.#sessions = sessions(address, options.tls ?? false);
    this.#stub = createClient(
      JobService,
      createGrpcTransport({
        baseUrl: this.#sessions.authority,
        sessionManager: this.#sessions,
        readMaxBytes: MAX_RESPONSE_BYTES,
        interceptors: [...(options.interceptors ?? []), retrying(), ...(token === undefined ? [] : [bearer(token)])],
      }),
    );
  }

  /** Makes a call with a deadline; `waitMs` is on top of the client's own. */
  async call<Response>(
    options: CallOptions,
    method: (stub: Stub<typeof JobService>, options: { timeoutMs: number; signal?: AbortSignal }) => Promise<Response>,
    waitMs = 0,
  ): Promise<Response> {
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#timeoutMs + waitMs);
    const { signal } = options;
    this.#checkOpen(signal);
    try {
      return await method(this.#stub, signal === undefined ? { timeoutMs } : { timeoutMs, signal });
    } catch (error) {
      throw this.#failure(error, signal);
    }
  }

  /** Opens a stream, which takes any time. It ends with the signal only: leaving the loop does not end it. */
  async *stream<Response>(
    signal: AbortSignal,
    method: (stub: Stub<typeof JobService>, options: { signal: AbortSignal }) => AsyncIterable<Response>,
  ): AsyncGenerator<Response, undefined> {
    this.#checkOpen(signal);
    try {
      yield* method(this.#stub, { signal });
    } catch (error) {
      throw this.#failure(error, signal);
    }
  }

  close(): void {
    this.#closing.abort(new ClientClosedError());
    this.#sessions.abort(new ConnectError("closed", Code.Canceled));
  }

  /** Is aborted by `close`, with a ClientClosedError. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  #checkOpen(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw new ClientClosedError();
    signal?.throwIfAborted();
  }

  /** What the caller is told. */
  #failure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (this.#closing.signal.aborted) return new ClientClosedError();
    if (signal?.aborted === true) return signal.reason;
    if (!(error instanceof ConnectError)) return error;
    return error.cause instanceof TokenFailure ? error.cause.error : callError(error);
  }
}

function checkTimeout(timeoutMs: number): number {
  if (!(timeoutMs > 0)) throw new RangeError(`a timeout must be more than 0 ms, not ${timeoutMs}`);
  return Math.min(Math.ceil(timeoutMs), LONGEST_TIMEOUT_MS);
}

// --- addresses ---

// Finds a dead connection within 80 s, where a call is open.
const KEEPALIVE = { pingIntervalMs: 60_000, pingTimeoutMs: 20_000 };

// As long as the other clients give a host to answer. The system's own minutes would keep a watch from its next try.
const CONNECT_TIMEOUT_MS = 5_000;

/** One connection, made when it is needed and made anew when it broke. */
function sessions(address: string, tls: boolean | TlsOptions): Http2SessionManager {
  const target = targetOf(address);
  const authority = `${tls === false ? "http" : "https"}://${"path" in target ? "localhost" : address}`;
  return new Http2SessionManager(authority, KEEPALIVE, { createConnection: () => socketTo(target, tls) });
}

type Target = { path: string } | { host: string; port: number };

function targetOf(address: string): Target {
  const path = /^unix:(?:\/\/)?(.+)$/.exec(address)?.[1];
  if (path !== undefined) return { path };
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:/[\]@?#]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host !== undefined && Number(port) < 2 ** 16) return { host, port: Number(port) };
  throw new TypeError(`an address is "host:port" or "unix:path", not ${JSON.stringify(address)}`);
}

function socketTo(target: Target, tls: boolean | TlsOptions): Socket {
  const socket = tls === false ? connectPlain(target) : connectTls({ ...tlsFor(target), ...(tls === true ? {} : tls) });
  const timer = setTimeout(() => {
    const message = `no connection within ${CONNECT_TIMEOUT_MS / 1000} s`;
    socket.destroy(Object.assign(new Error(message), { code: "ETIMEDOUT" }));
  }, CONNECT_TIMEOUT_MS);
  for (const event of [tls === false ? "connect" : "secureConnect", "close"]) {
    socket.once(event, () => {
      clearTimeout(timer);
    });
  }
  return socket;
}

function tlsFor(target: Target): ConnectionOptions {
  const options = { ...target, ALPNProtocols: ["h2"] };
  // An IP address is no name to ask for.
  return "path" in target || isIP(target.host) !== 0 ? options : { ...options, servername: target.host };
}
