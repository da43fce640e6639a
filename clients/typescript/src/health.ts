/** The health of the storage, as an endpoint of your own service and as something that each of its requests knows. */

import type { Mainstay } from "./client.js";

/** One backend. */
export interface BackendHealth {
  readonly health: "healthy" | "degraded" | "unhealthy";
  /** Whether its breaker refuses calls. */
  readonly circuitOpen: boolean;
  readonly circuitOpenForMs?: number;
  /** Failures in the breaker's window. */
  readonly failures: number;
  /** Whether an operator took it out of use. */
  readonly drained: boolean;
  readonly latencyMs?: number;
  readonly lastError?: string;
}

/** The storage. */
export interface StorageHealth {
  /** `unhealthy`: nothing can serve. */
  readonly status: "healthy" | "degraded" | "unhealthy";
  /** Whether it serves, and something behind it does not. */
  readonly degraded: boolean;
  /** The first backend that can serve; null: none. */
  readonly activeBackend: string | null;
  readonly backends: Readonly<Record<string, BackendHealth>>;
  /** Why nothing is known, when Mainstay itself does not answer. */
  readonly error?: string;
}

/** How health is answered. */
export interface HealthOptions {
  /** Degraded is answered with 503 too. Default false: whoever restarts a service for that makes it worse. */
  readonly strict?: boolean;
  /** For how long an answer counts, in milliseconds. Default 1000. */
  readonly fresh?: number;
  /** By when Mainstay has to answer, in milliseconds. Default 2000. */
  readonly timeout?: number;
}

/** A response of Node, of Express or of Connect. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

/** A reply of Fastify. */
export interface FastifyReply {
  code(status: number): FastifyReply;
  header(name: string, value: string): FastifyReply;
  send(body: unknown): unknown;
}

/** What a request has besides when it has been through `middleware`. */
export interface WithStorage {
  storage?: StorageHealth;
}

/** Asks once for all who ask within `fresh`, and never throws. */
export class Health {
  private last: { readonly at: number; readonly health: StorageHealth } | undefined;
  private asking: Promise<StorageHealth> | undefined;

  constructor(
    private readonly client: Pick<Mainstay, "health">,
    private readonly options: HealthOptions = {},
  ) {}

  /** The state, at most `fresh` old. */
  async check(): Promise<StorageHealth> {
    if (this.last !== undefined && performance.now() - this.last.at < (this.options.fresh ?? 1000)) return this.last.health;
    this.asking ??= this.ask().finally(() => (this.asking = undefined));
    return this.asking;
  }

  /** An endpoint for handlers of the web: `export const GET = health.web` in Next.js, Hono, Deno, Bun. */
  readonly web = async (request?: { readonly url: string }): Promise<Response> => {
    const { status, body, headers } = await this.answer(request?.url);
    return new Response(body, { status, headers });
  };

  /** An endpoint for Express, Connect and `node:http`: `app.get("/api/health/storage", health.node)`. */
  readonly node = async (request: { readonly url?: string | undefined }, response: NodeResponse): Promise<void> => {
    const { status, body, headers } = await this.answer(request.url);
    response.statusCode = status;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.end(body);
  };

  /** An endpoint for Fastify: `app.get("/api/health/storage", health.fastify)`. */
  readonly fastify = async (request: { readonly url?: string }, reply: FastifyReply): Promise<unknown> => {
    const { status, body, headers } = await this.answer(request.url);
    reply.code(status);
    for (const [name, value] of Object.entries(headers)) reply.header(name, value);
    return reply.send(body);
  };

  /**
   * For Express and Connect: every request knows the state as `request.storage`. Only the first one waits for it; later
   * ones take what is known, and have it asked anew behind them.
   */
  readonly middleware = (request: object, _response: unknown, next: (error?: unknown) => void): void => {
    const marked: WithStorage = request;
    const known = this.last?.health;
    const asked = this.check();
    if (known !== undefined) {
      marked.storage = known;
      return next();
    }
    void asked.then((health) => {
      marked.storage = health;
      next();
    });
  };

  private async answer(url = ""): Promise<{ status: number; body: string; headers: Record<string, string> }> {
    const health = await this.check();
    const strict = this.options.strict === true || /[?&]strict(?:=true)?(?:&|$)/.test(url);
    const failed = health.status === "unhealthy" || (strict && health.status === "degraded");
    const headers = { "content-type": "application/json", "cache-control": "no-store", ...(failed ? { "retry-after": "1" } : {}) };
    return { status: failed ? 503 : 200, body: JSON.stringify(health), headers };
  }

  private async ask(): Promise<StorageHealth> {
    const health = await this.client.health({ timeout: this.options.timeout ?? 2000 }).catch((error: unknown) => ({
      status: "unhealthy" as const,
      degraded: false,
      activeBackend: null,
      backends: {},
      error: error instanceof Error ? error.message : String(error),
    }));
    this.last = { at: performance.now(), health };
    return health;
  }
}

/** Reads `/api/health/storage`. */
export function healthOf(body: string): StorageHealth {
  const health = JSON.parse(body) as Omit<StorageHealth, "degraded">;
  const { status, activeBackend, backends } = health;
  return { status, degraded: status === "degraded", activeBackend, backends };
}
