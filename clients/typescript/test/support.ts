/** A Mainstay that answers what a test says, and the real one with a Redis of its own. */

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createSocket, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Only a failure waits for it. */
const PATIENCE = 60_000;
/** Below those that systems give out by themselves: nobody gets one of these while Mainstay is dead. */
const PORTS = { first: 30_000, end: 32_768 };
/** Attempts to find a free port, and to start on ports that nobody else takes. */
const ATTEMPTS = 10;
/** Nobody listens there: systems give out no such port. */
export const NOBODY = "http://127.0.0.1:2";

export interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

export const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Looks at a condition until it holds. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (performance.now() < end) {
    if (await condition()) return;
    await sleep(20);
  }
  assert.fail(`waited for ${what}`);
}

export function json(status: number, members: object): Answer {
  return { status, headers: { "content-type": "application/json" }, body: JSON.stringify(members) };
}

export function problem(status: number, kind: string, more: object = {}): Answer {
  return json(status, { type: `urn:mainstay:error:${kind}`, title: "T", status, detail: "because", ...more });
}

/** Answers as `respond` says, and remembers what it was asked. `null`: the connection is cut. */
export class Fake {
  readonly asked: Asked[] = [];
  respond: (asked: Asked) => Answer | null | Promise<Answer | null> = () => ({ status: 204 });
  private constructor(private readonly server: Server) {}

  static async start(): Promise<Fake> {
    const server = createServer();
    const fake = new Fake(server);
    server.on("request", async (request, response) => {
      let body = "";
      for await (const chunk of request) body += String(chunk);
      const asked = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body };
      fake.asked.push(asked);
      const answer = await fake.respond(asked);
      if (answer === null) return void request.socket.destroy();
      response.writeHead(answer.status, answer.headers).end(answer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  count(method: string): number {
    return this.asked.filter((asked) => asked.method === method).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const port = randomInt(PORTS.first, PORTS.end);
    const server = createSocket();
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  return assert.fail("no port is free");
}

/** The binary that MAINSTAY_BIN names, before a Redis and a SQLite file of its own. */
export class Real {
  readonly folder = mkdtempSync(join(tmpdir(), "mainstay-client-"));
  private readonly socket = join(this.folder, "redis.sock");
  private http = "";
  private resp = "";
  private redis: ChildProcess | undefined;
  private mainstay: ChildProcess | undefined;
  private constructor() {}

  static async start(): Promise<Real> {
    const real = new Real();
    real.startRedis();
    // Somebody else may take a free port before the process does.
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      real.resp = `127.0.0.1:${await freePort()}`;
      real.http = `127.0.0.1:${await freePort()}`;
      if (await real.tryStart()) return real;
    }
    await real[Symbol.asyncDispose]();
    return assert.fail("mainstay did not start");
  }

  get url(): string {
    return `http://${this.http}`;
  }

  get respPort(): number {
    return Number(this.resp.split(":").pop());
  }

  startRedis(): void {
    // A socket in its folder is nobody else's while it is dead.
    const options = ["--port", "0", "--unixsocket", this.socket, "--save", "", "--appendonly", "no"];
    this.redis = spawn("redis-server", options, { cwd: this.folder, stdio: "ignore" });
  }

  async killRedis(): Promise<void> {
    await killed(this.redis);
  }

  /** Starts it again where it was. */
  async startMainstay(): Promise<void> {
    assert.ok(await this.tryStart(), "mainstay did not start");
  }

  private async tryStart(): Promise<boolean> {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      REDIS_URL: `redis+unix://${this.socket}`,
      DATABASE_URL: "sqlite:client.db",
      // By itself it would leave locks to Redis: a SQLite file is no database that hosts share.
      MAINSTAY__LOCKS__MODE: "local",
    };
    const serve = ["serve", "--resp", this.resp, "--http", this.http, "--log-format", "json"];
    const child = spawn(process.env["MAINSTAY_BIN"] ?? "", serve, { cwd: this.folder, env, stdio: ["ignore", "ignore", "pipe"] });
    this.mainstay = child;
    const lines = createInterface({ input: child.stderr });
    return await new Promise<boolean>((resolve) => {
      // It goes on reading: a process must not wait for a reader of its log.
      lines.on("line", (line) => {
        // The error with which it ends is no JSON.
        if (line.startsWith("{") && (JSON.parse(line) as { message?: string }).message === "serving") resolve(true);
      });
      lines.on("close", () => resolve(false));
    });
  }

  async killMainstay(): Promise<void> {
    await killed(this.mainstay);
  }

  signal(name: NodeJS.Signals): void {
    this.mainstay?.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await killed(this.mainstay);
    await killed(this.redis);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function killed(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exit;
}
