import { isIP } from "node:net";
import type { Interceptor } from "@connectrpc/connect";

/** A bearer token, or a function that gives the one to use now. It is called for each try of each call. */
export type Token = string | (() => string | Promise<string>);

// As RFC 6750 has it.
const TOKEN_FORM = /^[A-Za-z0-9._~+/-]+=*$/;

/** Sends the token with each call. */
export function bearer(token: Token): Interceptor {
  return (next) => async (request) => {
    request.header.set("authorization", `Bearer ${await current(token)}`);
    return next(request);
  };
}

async function current(token: Token): Promise<string> {
  try {
    const given = typeof token === "string" ? token : await token();
    checkForm(given);
    return given;
  } catch (error) {
    throw new TokenFailure(error);
  }
}

/** Carries the error of a token's source through connect. */
export class TokenFailure extends Error {
  constructor(readonly error: unknown) {
    super("no token");
  }
}

/** @throws TypeError of a token that would go where others can read it, or that is none. */
export function checkToken(token: Token, address: string, isSafe: boolean): void {
  if (typeof token === "string") checkForm(token);
  if (isSafe || isLoopback(address)) return;
  throw new TypeError(
    `a token is not sent to ${address} over plain text, where others could read it: ` +
      "use tls, or insecure where something else protects the way",
  );
}

function checkForm(token: unknown): void {
  if (typeof token === "string" && TOKEN_FORM.test(token)) return;
  // It does not name the token.
  throw new TypeError("the token is empty, or has characters that no token has, such as spaces or line ends");
}

function isLoopback(address: string): boolean {
  if (address.startsWith("unix:")) return true;
  const host = address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
