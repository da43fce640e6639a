/** The endpoint and the middleware, for every kind of handler. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Health, Mainstay, type StorageHealth, type WithStorage } from "../src/index.js";
import { Fake, NOBODY, json, until, type Answer } from "./support.js";

const BACKENDS = { redis: { health: "unhealthy", circuitOpen: true, failures: 5, drained: false } };

function answer(status: string): () => Answer {
  return () => json(status === "unhealthy" ? 503 : 200, { status, activeBackend: "db", backends: BACKENDS });
}

async function ask(health: Health, url = "http://localhost/health"): Promise<[number, StorageHealth]> {
  const response = await health.web({ url });
  return [response.status, (await response.json()) as StorageHealth];
}

test("degraded is 200 unless it is strict", async () => {
  await using fake = await Fake.start();
  fake.respond = answer("degraded");
  const client = new Mainstay({ url: fake.url });
  const health = new Health(client);
  assert.deepEqual(await ask(health), [200, { status: "degraded", degraded: true, activeBackend: "db", backends: BACKENDS }]);
  assert.equal((await ask(health, "http://localhost/health?strict"))[0], 503);
  assert.equal((await ask(health, "http://localhost/health?strict=false"))[0], 200);
  assert.equal((await ask(new Health(client, { strict: true })))[0], 503);
  assert.equal((await health.web()).status, 200);
});

test("nothing serves, or nobody answers", async () => {
  await using fake = await Fake.start();
  fake.respond = answer("unhealthy");
  const [code, body] = await ask(new Health(new Mainstay({ url: fake.url })));
  assert.deepEqual([code, body.status, body.degraded], [503, "unhealthy", false]);
  const nobody = new Health(new Mainstay({ url: NOBODY }));
  const [none, said] = await ask(nobody);
  assert.deepEqual([none, said.status, said.activeBackend], [503, "unhealthy", null]);
  assert.match(said.error ?? "", /cannot be reached/);
});

test("one asks for all, and each request knows", async () => {
  await using fake = await Fake.start();
  fake.respond = answer("healthy");
  const health = new Health(new Mainstay({ url: fake.url }), { fresh: 3_600_000 });
  await Promise.all(Array.from({ length: 5 }, () => health.check()));
  assert.equal(fake.asked.length, 1);
  const through = (of: Health): Promise<string | undefined> =>
    new Promise((resolve) => {
      const request: WithStorage = {};
      of.middleware(request, undefined, () => resolve(request.storage?.status));
    });
  assert.equal(await through(health), "healthy");
  assert.equal(fake.asked.length, 1);
  const old = new Health(new Mainstay({ url: fake.url }), { fresh: 0 });
  assert.equal(await through(old), "healthy");
  fake.respond = answer("degraded");
  await until("what is old to be asked anew", async () => (await through(old)) === "degraded");
});

test("a handler of Node", async () => {
  await using fake = await Fake.start();
  fake.respond = answer("degraded");
  const health = new Health(new Mainstay({ url: fake.url }));
  const server = createServer((request, response) => void health.node(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/health`;
  const [degraded, strict] = [await fetch(url), await fetch(`${url}?strict`)];
  assert.deepEqual([degraded.status, strict.status, strict.headers.get("retry-after")], [200, 503, "1"]);
  assert.equal(((await degraded.json()) as StorageHealth).degraded, true);
  await strict.body?.cancel();
  server.closeAllConnections();
  server.close();
});

test("a handler of Fastify", async () => {
  await using fake = await Fake.start();
  fake.respond = answer("unhealthy");
  const said: unknown[] = [];
  const reply = {
    code: (status: number) => (said.push(status), reply),
    header: (name: string, value: string) => (said.push(`${name}: ${value}`), reply),
    send: (body: unknown) => said.push(JSON.parse(String(body)).status),
  };
  await new Health(new Mainstay({ url: fake.url })).fastify({ url: "/health" }, reply);
  assert.deepEqual(said, [503, "content-type: application/json", "cache-control: no-store", "retry-after: 1", "unhealthy"]);
});

/** As much of Express and Fastify as is used here; they are found where they are installed. */
interface Express {
  use(middleware: Health["middleware"]): void;
  get(path: string, handler: (request: WithStorage & { url: string }, response: never) => void): void;
  listen(port: number, host: string, ready: () => void): { address(): AddressInfo; close(): void; closeAllConnections(): void };
}
interface Fastify {
  get(path: string, handler: Health["fastify"]): void;
  inject(path: string): Promise<{ statusCode: number; body: string }>;
  close(): Promise<void>;
}

function installed<T>(name: string): T | undefined {
  try {
    return createRequire(import.meta.url)(name) as T;
  } catch {
    return undefined;
  }
}

const express = installed<() => Express>("express");
const fastify = installed<() => Fastify>("fastify");

test("Express itself", { skip: express === undefined ? "it is not installed" : false }, async () => {
  await using fake = await Fake.start();
  fake.respond = answer("degraded");
  const health = new Health(new Mainstay({ url: fake.url }), { fresh: 3_600_000 });
  const app = (express as () => Express)();
  app.use(health.middleware);
  app.get("/api/health/storage", health.node);
  app.get("/", (request, response: { end(text: string): void }) => response.end(String(request.storage?.status)));
  const server = await new Promise<ReturnType<Express["listen"]>>((resolve) => {
    const listening = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  const url = `http://127.0.0.1:${server.address().port}`;
  assert.equal(await (await fetch(url)).text(), "degraded");
  const [ordinary, strict] = [await fetch(`${url}/api/health/storage`), await fetch(`${url}/api/health/storage?strict`)];
  assert.deepEqual([ordinary.status, strict.status], [200, 503]);
  assert.equal(((await ordinary.json()) as StorageHealth).activeBackend, "db");
  server.closeAllConnections();
  server.close();
});

test("Fastify itself", { skip: fastify === undefined ? "it is not installed" : false }, async () => {
  await using fake = await Fake.start();
  fake.respond = answer("degraded");
  const app = (fastify as () => Fastify)();
  app.get("/api/health/storage", new Health(new Mainstay({ url: fake.url })).fastify);
  const [ordinary, strict] = [await app.inject("/api/health/storage"), await app.inject("/api/health/storage?strict")];
  assert.deepEqual([ordinary.statusCode, strict.statusCode], [200, 503]);
  assert.equal((JSON.parse(ordinary.body) as StorageHealth).degraded, true);
  await app.close();
});
