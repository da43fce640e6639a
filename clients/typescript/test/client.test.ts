/** Values, acknowledgements and errors, against answers of every kind. */

import assert from "node:assert/strict";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { Conflict, LockHeld, Mainstay, MainstayError, Unavailable, meta, retry, unavailable } from "../src/index.js";
import { Moment, millis, written } from "../src/time.js";
import { Fake, NOBODY, json, problem } from "./support.js";

test("an entry says where it comes from", async () => {
  await using fake = await Fake.start();
  const storage = new Mainstay({ url: fake.url, token: "secret" });
  const said = { value: "ada", encoding: "utf8", source: "redis", stale: true, worth: "unverified" };
  fake.respond = () => json(200, { ...said, age: 1.5, ttl: 58.25, version: "1-17" });
  const entry = await storage.get("user:1/ä");
  assert.ok(entry);
  assert.deepEqual([entry.text(), entry.source, entry.stale, entry.worth], ["ada", "redis", true, "unverified"]);
  assert.deepEqual([entry.age, entry.ttl, entry.version], [1500, 58250, "1-17"]);
  const asked = fake.asked[0];
  assert.deepEqual([asked?.method, asked?.path], ["GET", "/v1/kv/user%3A1%2F%C3%A4?meta"]);
  assert.deepEqual([asked?.headers["authorization"], asked?.headers["x-mainstay-timeout"]], ["Bearer secret", "5000ms"]);
});

test("bytes and absence", async () => {
  await using fake = await Fake.start();
  const storage = new Mainstay({ url: fake.url });
  const said = { value: "/wA=", encoding: "base64", source: "db", stale: false, worth: "linearizable" };
  fake.respond = () => json(200, { ...said, age: null, ttl: null, version: null });
  const entry = await storage.get(Uint8Array.of(255, 10));
  assert.deepEqual(entry?.value, Uint8Array.of(255, 0));
  assert.deepEqual([entry?.age, entry?.ttl, entry?.version], [undefined, undefined, undefined]);
  assert.equal(fake.asked[0]?.path, "/v1/kv/%ff%0a?meta");
  fake.respond = () => problem(404, "no_such_key");
  assert.equal(await storage.get("nobody"), undefined);
  for (const name of ["", ".", ".."]) await assert.rejects(storage.get(name), RangeError);
});

test("an acknowledgement says what it is worth", async () => {
  await using fake = await Fake.start();
  const storage = new Mainstay({ url: fake.url });
  fake.respond = () => ({ status: 204, headers: { etag: '"1-18"', "x-mainstay-source": "db" } });
  const stored = await storage.set("a", "1", { ttl: "1.5s", ifVersion: "1-17" });
  assert.deepEqual(stored, { kind: "stored", source: "db", version: "1-18" });
  const asked = fake.asked[0];
  assert.deepEqual([asked?.method, asked?.path, asked?.body], ["PUT", "/v1/kv/a?ttl=1500ms", "1"]);
  assert.equal(asked?.headers["if-match"], '"1-17"');
  assert.equal(asked?.headers["origin"], undefined);
  fake.respond = () => json(202, { journaled: 7 });
  assert.deepEqual(await storage.delete("a"), { kind: "journaled", sequence: 7 });
  await assert.rejects(storage.set("a", "1", { ifVersion: "1-17", ifAbsent: true }), RangeError);
});

test("errors have types", async () => {
  await using fake = await Fake.start();
  const storage = new Mainstay({ url: fake.url });
  fake.respond = () => problem(412, "precondition_failed", { hint: "read it" });
  await assert.rejects(storage.set("a", "1", { ifAbsent: true }), (error) => {
    assert.ok(error instanceof Conflict);
    assert.deepEqual([error.kind, error.hint, error.name], ["precondition_failed", "read it", "Conflict"]);
    return true;
  });
  fake.respond = () => problem(503, "breaker_open", { backend: "db", retry_after_ms: 4200, effect: "unknown" });
  await assert.rejects(storage.increment("a"), (error) => {
    assert.ok(error instanceof Unavailable);
    assert.deepEqual([error.retryAfter, error.effect, error.backend, error.status], [4200, "unknown", "db", 503]);
    return true;
  });
  fake.respond = () => problem(409, "lock_held", { retry_after_ms: 1200 });
  await assert.rejects(storage.lock("a"), (error) => error instanceof LockHeld && error.retryAfter === 1200);
  assert.equal(await storage.tryLock("a"), undefined);
  fake.respond = () => ({ status: 418, body: "a teapot" });
  await assert.rejects(storage.get("a"), (error) => error instanceof MainstayError && error.kind === "http_418");
});

test("a write is sent once, and says whether it may have happened", async () => {
  await using fake = await Fake.start();
  fake.respond = () => null;
  const effect = (expected: string) => (error: unknown) => error instanceof Unavailable && error.effect === expected;
  await assert.rejects(new Mainstay({ url: fake.url }).increment("a"), effect("unknown"));
  assert.equal(fake.asked.length, 1);
  await assert.rejects(new Mainstay({ url: NOBODY }).increment("a"), effect("none"));
});

test("silence ends with the timeout, and a wait with its signal", async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await assert.rejects(new Mainstay({ url, timeout: 100 }).set("a", "1"), (error) => {
    return error instanceof Unavailable && error.effect === "unknown" && /in time/.test(error.message);
  });
  const reason = new Error("enough");
  const wait = new AbortController();
  setTimeout(() => wait.abort(reason), 50);
  await assert.rejects(new Mainstay({ url }).lock("a", { wait: "1m", signal: wait.signal }), (error) => error === reason);
  sockets.forEach((socket) => socket.destroy());
  silent.close();
});

test("keys come page by page", async () => {
  await using fake = await Fake.start();
  const pages = new Map([
    ["/v1/kv?limit=1000&prefix=u%3A", json(200, { keys: [{ key: "u:1", encoding: "utf8" }], cursor: "x+y" })],
    ["/v1/kv?limit=1000&prefix=u%3A&cursor=x%2By", json(200, { keys: [{ key: "/w==", encoding: "base64" }], cursor: null })],
  ]);
  fake.respond = (asked) => pages.get(asked.path) ?? problem(400, "invalid_argument");
  const keys = [];
  for await (const key of new Mainstay({ url: fake.url }).keys("u:")) keys.push(key);
  assert.deepEqual(keys, ["u:1", Uint8Array.of(255)]);
});

test("refusals are repeated, and what may have happened is not", async () => {
  let attempts = 0;
  const refused = async (): Promise<string> => {
    attempts += 1;
    if (attempts === 1) throw new Unavailable("down", { retryAfter: 1 });
    if (attempts === 2) throw new Error("UNAVAILABLE db down; retry_after_ms=1");
    return "done";
  };
  assert.equal(await retry(refused), "done");
  attempts = 0;
  const unknown = async (): Promise<void> => {
    attempts += 1;
    throw new Error("UNAVAILABLE db lost; outcome unknown; retry_after_ms=1");
  };
  await assert.rejects(retry(unknown), (error) => error instanceof Unavailable && error.effect === "unknown");
  assert.equal(attempts, 1);
  const late = async (): Promise<void> => {
    throw new Unavailable("down", { retryAfter: 5000 });
  };
  await assert.rejects(retry(late, { within: "1s" }), Unavailable);
  await assert.rejects(retry(async () => assert.fail("mine")), assert.AssertionError);
});

test("what Redis clients get", async () => {
  const said = unavailable(new Error("UNAVAILABLE db breaker open; outcome unknown; retry_after_ms=4200"));
  assert.deepEqual([said?.retryAfter, said?.effect], [4200, "unknown"]);
  assert.equal(unavailable(new Error("WRONGTYPE Operation against a key")), undefined);
  const fields = { source: "db", stale: false, worth: "linearizable", age_ms: null, ttl_ms: 50, version: "1-1", length: 3 };
  const expected = { source: "db", stale: false, worth: "linearizable", age: undefined, ttl: 50, version: "1-1", length: 3 };
  for (const reply of [fields, new Map(Object.entries(fields)), Object.entries({ ...fields, stale: 0 }).flat()]) {
    assert.deepEqual(await meta({ sendCommand: async () => reply }, "k"), expected);
  }
  assert.equal(await meta({ call: async () => null }, "k"), undefined);
});

test("durations, and the lesser of two clocks", () => {
  assert.deepEqual(["250ms", "1.5s", "2m", 3].map(millis), [250, 1500, 120_000, 3]);
  assert.equal(written("5m"), "300000ms");
  for (const bad of ["5", "s", "-1s", -1, Infinity, NaN]) assert.throws(() => millis(bad), RangeError);
  const moment = Moment.now().plus(5);
  assert.ok(moment.left() <= 5);
  const now = Date.now;
  try {
    // The wall clock says that the machine slept for an hour.
    Date.now = () => now() + 3_600_000;
    assert.ok(Moment.now().plus(5).left() <= 5 && moment.left() < 0);
  } finally {
    Date.now = now;
  }
});
