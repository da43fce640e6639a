/** The real Mainstay, while its Redis dies and comes back, and while it dies itself. Needs MAINSTAY_BIN and redis-server. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Conflict, Health, LockHeld, LockLost, Mainstay, Unavailable, meta, retry, type RespClient } from "../src/index.js";
import { Real, until } from "./support.js";

const skip = process.env["MAINSTAY_BIN"] === undefined ? "MAINSTAY_BIN names no binary" : false;

/** What is installed, or lies on NODE_PATH. */
function optional(name: string): unknown {
  try {
    return createRequire(import.meta.url)(name);
  } catch {
    return undefined;
  }
}

async function healthy(real: Real): Promise<Mainstay> {
  const storage = new Mainstay({ url: real.url });
  await until("everything to be up", async () => (await storage.health()).status === "healthy");
  return storage;
}

test("values and locks outlive Redis", { skip }, async () => {
  await using real = await Real.start();
  const storage = await healthy(real);
  const health = new Health(storage, { fresh: 0 });
  const first = await storage.set("user:1", "ada", { ttl: "10m" });
  assert.ok(first.kind === "stored" && first.version !== undefined);
  await until("a copy in Redis", async () => (await storage.get("user:1"))?.source === "redis");
  let token: bigint;
  {
    await using lock = await storage.lock("nightly", { require: "host" });
    token = lock.token;
    await real.killRedis();
    await until("the outage to be noticed", async () => (await health.check()).degraded);
    const entry = await storage.get("user:1");
    assert.deepEqual([entry?.text(), entry?.source, entry?.stale], ["ada", "db", false]);
    assert.equal((await storage.set("user:1", Uint8Array.of(255, 0), { ifVersion: first.version })).kind, "stored");
    await assert.rejects(storage.set("user:1", "late", { ifVersion: first.version }), Conflict);
    assert.deepEqual([await storage.increment("n"), await storage.increment("n", 41)], [1, 42]);
    lock.check();
    assert.equal(await storage.tryLock("nightly"), undefined);
    await assert.rejects(storage.lock("nightly", { wait: "100ms" }), (error) => {
      assert.ok(error instanceof LockHeld && error.retryAfter !== undefined);
      return error.retryAfter > 0 && error.retryAfter <= 30_000;
    });
    assert.deepEqual([(await health.web()).status, (await health.web({ url: "/?strict" })).status], [200, 503]);
    real.startRedis();
    await until("Redis to be back", async () => (await health.check()).status === "healthy");
    lock.check();
  }
  await using again = await storage.lock("nightly");
  assert.ok(again.token > token);
  await until("a copy of the new value", async () => (await storage.get("user:1"))?.source === "redis");
  assert.deepEqual((await storage.get("user:1"))?.value, Uint8Array.of(255, 0));
  const keys = [];
  for await (const key of storage.keys("user:")) keys.push(key);
  assert.deepEqual(keys, ["user:1"]);
  await storage.delete("user:1");
  assert.equal(await storage.get("user:1"), undefined);
});

test("a lock that nobody renews is lost", { skip }, async () => {
  await using real = await Real.start();
  const storage = await healthy(real);
  const lock = await storage.lock("short", { ttl: "3s" });
  real.signal("SIGSTOP");
  await assert.rejects(lock.run(() => new Promise<void>(() => {})), LockLost);
  real.signal("SIGCONT");
  await using after = await storage.lock("short", { wait: "30s" });
  assert.ok(after.token > lock.token);
});

test("Mainstay dies and comes back", { skip }, async () => {
  await using real = await Real.start();
  const storage = await healthy(real);
  await real.killMainstay();
  assert.equal((await new Health(storage).check()).status, "unhealthy");
  await assert.rejects(storage.set("k", "v"), (error) => error instanceof Unavailable && error.effect === "none");
  const trying = retry(() => storage.set("k", "v"), { within: "1m" });
  await real.startMainstay();
  assert.equal((await trying).kind, "stored");
});

interface Ioredis extends AsyncDisposable {
  set(key: string, value: string, mode: "EX", seconds: number): Promise<unknown>;
  call(command: string, ...args: string[]): Promise<unknown>;
  disconnect(): void;
}

interface NodeRedis {
  connect(): Promise<unknown>;
  sendCommand(args: string[]): Promise<unknown>;
  destroy(): void;
}

test("beside ioredis and node-redis", { skip: skip || (optional("ioredis") && optional("redis") ? false : "they are not installed") }, async () => {
  await using real = await Real.start();
  await healthy(real);
  const see = async (client: RespClient): Promise<void> => {
    const known = await meta(client, "k");
    assert.deepEqual([known?.length, known?.stale], [5, false]);
    assert.ok(known?.ttl !== undefined && known.ttl > 50_000 && known.ttl <= 60_000, JSON.stringify(known));
    assert.equal(await meta(client, "nothing"), undefined);
  };
  const { Redis } = optional("ioredis") as { Redis: new (port: number) => Ioredis };
  const ioredis = new Redis(real.respPort);
  await ioredis.set("k", "value", "EX", 60);
  await see(ioredis);
  ioredis.disconnect();
  const { createClient } = optional("redis") as { createClient(options: object): NodeRedis };
  for (const RESP of [2, 3]) {
    const client = createClient({ RESP, socket: { port: real.respPort } });
    await client.connect();
    // Anew: what is left of it must not depend on how long the clients before took.
    await client.sendCommand(["SET", "k", "value", "EX", "60"]);
    await see(client);
    client.destroy();
  }
});
