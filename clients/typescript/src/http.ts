/** One request to Mainstay, its deadline, and what became of it. */

import { MainstayError, Unavailable, problemOf, type Effect } from "./errors.js";

/** Where Mainstay is, and how to talk to it. */
export interface ClientOptions {
  /** Default `http://127.0.0.1:6391`. */
  readonly url?: string;
  /** `http.token` of Mainstay's configuration. */
  readonly token?: string;
  /** By when each answer is due, in milliseconds; Mainstay is told. Default 5000. */
  readonly timeout?: number;
  /** In place of the global `fetch`. */
  readonly fetch?: typeof fetch;
}

/** One request. */
export interface Call {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Milliseconds beyond the client's own timeout: a wait that is part of the request. */
  readonly extra?: number;
  /** Milliseconds in place of the client's own timeout. */
  readonly timeout?: number;
  readonly signal?: AbortSignal | undefined;
}

/** An answer, read to its end. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Mainstay answers by its deadline; this is for the way. */
const SLACK = 1000;
/** Errors of a connection that was never made: nothing was sent. */
const NEVER_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"]);

/** Sends requests. Repeats none: a write whose outcome is unknown must not be sent again behind the caller's back. */
export class Transport {
  private readonly base: string;
  private readonly timeout: number;
  private readonly headers: Record<string, string>;
  private readonly fetch: typeof fetch;

  constructor(options: ClientOptions) {
    this.base = (options.url ?? "http://127.0.0.1:6391").replace(/\/+$/, "");
    this.timeout = options.timeout ?? 5000;
    this.headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
    this.fetch = options.fetch ?? globalThis.fetch;
  }

  /** The answer, if its status is below 400 or one of these; throws what it says otherwise. */
  async send(call: Call, expected: readonly number[] = []): Promise<Reply> {
    const reply = await this.exchange(call);
    if (reply.status < 400 || expected.includes(reply.status)) return reply;
    throw problemOf(reply.status, reply.text);
  }

  private async exchange(call: Call): Promise<Reply> {
    const timeout = call.timeout ?? this.timeout;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeout + (call.extra ?? 0) + Math.min(SLACK, timeout));
    const signals = call.signal === undefined ? [late.signal] : [late.signal, call.signal];
    try {
      const response = await this.fetch(this.base + call.path, {
        method: call.method,
        headers: { "x-mainstay-timeout": `${timeout}ms`, ...this.headers, ...call.headers },
        signal: AbortSignal.any(signals),
        redirect: "error",
        ...(call.body === undefined ? {} : { body: call.body as BodyInit }),
      });
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch (error) {
      if (call.signal?.aborted === true) throw call.signal.reason;
      throw unreached(error, call, late.signal.aborted);
    } finally {
      clearTimeout(timer);
    }
  }
}

function unreached(error: unknown, call: Call, late: boolean): MainstayError {
  const code = codeOf(error);
  const sent = late || !NEVER_SENT.has(code);
  const effect: Effect = sent && call.method !== "GET" ? "unknown" : "none";
  const why = late ? "it did not answer in time" : code || String(error);
  return new Unavailable(`mainstay cannot be reached: ${why}`, { kind: "unreachable", effect, cause: error });
}

/** Node hides it in the cause, or in the first error of an aggregate. */
function codeOf(error: unknown): string {
  const cause = (error as { cause?: { code?: string; errors?: { code?: string }[] } }).cause;
  return cause?.code ?? cause?.errors?.[0]?.code ?? "";
}

/** A key or a name as the last part of a path. */
export function segment(name: string | Uint8Array): string {
  if (name.length === 0) throw new RangeError("a name has at least one byte");
  if (typeof name !== "string") return Array.from(name, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  // URLs take these for steps between folders, in every spelling.
  if (name === "." || name === "..") throw new RangeError(`the name ${JSON.stringify(name)} cannot stand in a URL`);
  return encodeURIComponent(name);
}
