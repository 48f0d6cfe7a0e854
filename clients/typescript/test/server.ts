import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Client, type ClientOptions } from "../src/index.js";
import { JobService } from "../src/contract.js";

export type Handlers = Partial<ServiceImpl<typeof JobService>>;

/** A server of this process that does what a test says. */
export class FakeServer {
  readonly #sockets = new Set<Socket>();
  readonly #server;

  constructor(handlers: Handlers) {
    this.#server = createServer(
      connectNodeAdapter({
        routes: (router) => {
          router.service(JobService, handlers);
        },
      }),
    );
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  async start(place: { port: number } | { path: string } = { port: 0 }): Promise<void> {
    this.#server.listen({ host: "127.0.0.1", ...place });
    await once(this.#server, "listening");
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** What was written on connections that are open. */
  get bytesWritten(): number {
    return [...this.#sockets].reduce((bytes, socket) => bytes + socket.bytesWritten, 0);
  }

  /** Breaks all connections, as a server does that is killed: which ends them, or resets them. */
  breakConnections(how: "end" | "reset"): void {
    for (const socket of this.#sockets) {
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  close(): void {
    this.#server.close();
    this.breakConnections("end");
  }
}

/** A server, and a client of it; both are closed with the test. */
export async function serving(
  test: TestContext,
  handlers: Handlers,
  options: ClientOptions = {},
): Promise<{ server: FakeServer; client: Client }> {
  const server = new FakeServer(handlers);
  await server.start();
  const client = new Client(server.address, options);
  test.after(() => {
    client.close();
    server.close();
  });
  return { server, client };
}

/** Resolves when the signal aborts. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}
