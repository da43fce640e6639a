/** Locks against a server that grants, refuses, falls silent and forgets. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { LockHeld, LockLost, Mainstay, Unavailable, type Lock } from "../src/index.js";
import { Fake, problem, sleep, until, type Answer } from "./support.js";

const HOLDER = "a".repeat(32);
/** More than a number of JavaScript can hold. */
const TOKEN = 2n ** 60n + 1n;

function grant(status: number, ttl: number): Answer {
  const body = `{"name":"n","holder":"${HOLDER}","token":${TOKEN},"guarantee":"fenced","mode":"record","ttl_ms":${ttl}}`;
  return { status, headers: { "content-type": "application/json" }, body };
}

/** A server of one lock, which it gives out when it has waited for so long. */
function serve(fake: Fake, ttl: number, renewal = grant(200, ttl), wait = 0): Mainstay {
  fake.respond = async (asked) => {
    if (asked.method === "POST") {
      await sleep(wait);
      return grant(201, ttl);
    }
    return asked.method === "PUT" ? renewal : { status: 204 };
  };
  return new Mainstay({ url: fake.url, timeout: 5000 });
}

async function lostOf(lock: Lock): Promise<LockLost> {
  await until("the loss", () => lock.signal.aborted);
  assert.ok(lock.signal.reason instanceof LockLost);
  return lock.signal.reason;
}

test("it is renewed and released", async () => {
  await using fake = await Fake.start();
  // It renews at a third of the first lease; longer ones of its renewals leave it time.
  const storage = serve(fake, 3000, grant(200, 30_000));
  let kept: Lock;
  {
    await using lock = await storage.lock("n", { ttl: "3000ms", require: "fenced", note: "me" });
    assert.deepEqual([lock.token, lock.guarantee, lock.mode], [TOKEN, "fenced", "record"]);
    await until("renewals", () => fake.count("PUT") >= 3);
    lock.check();
    kept = lock;
  }
  const [first, second] = [fake.asked[0], fake.asked.find((asked) => asked.method === "PUT")];
  assert.deepEqual([first?.method, first?.path], ["POST", "/v1/locks/n"]);
  assert.deepEqual(JSON.parse(first?.body ?? ""), { wait: "10000ms", ttl: "3000ms", require: "fenced", note: "me" });
  assert.equal(second?.body, `{"holder":"${HOLDER}","token":${TOKEN},"ttl":"3000ms"}`);
  const last = fake.asked.at(-1);
  assert.deepEqual([last?.method, last?.path], ["DELETE", `/v1/locks/n?holder=${HOLDER}&token=${TOKEN}`]);
  assert.deepEqual([kept.left, kept.lost, kept.signal.aborted, await kept.release()], [0, false, false, "released"]);
  assert.throws(() => kept.check(), LockLost);
});

test("it says when it is lost", async () => {
  await using fake = await Fake.start();
  const lock = await serve(fake, 1000, problem(412, "lock_lost")).lock("n");
  const never = lock.run(() => new Promise<void>(() => {}));
  await assert.rejects(never, LockLost);
  const lost = await lostOf(lock);
  assert.match(lost.message, new RegExp(String(TOKEN)));
  assert.deepEqual([lock.left, lock.lost, await lock.release()], [0, true, "lost"]);
  assert.throws(() => lock.check(), (error) => error === lost);
  await assert.rejects(lock.run(async () => "late"), LockLost);
});

test("it ends with its lease while nobody answers", async () => {
  await using fake = await Fake.start();
  const lock = await serve(fake, 4500).lock("n");
  serve(fake, 4500, problem(503, "unavailable"));
  const renewals = fake.count("PUT");
  await lostOf(lock);
  assert.ok(fake.count("PUT") - renewals > 1);
  const unrenewed = await serve(fake, 2000).lock("n", { renew: false });
  const before = fake.count("PUT");
  await lostOf(unrenewed);
  assert.equal(fake.count("PUT"), before);
});

test("work under it ends as it ends by itself", async () => {
  await using fake = await Fake.start();
  const lock = await serve(fake, 30_000).lock("n");
  assert.equal(await lock.run(async (signal) => signal.aborted), false);
  await assert.rejects(lock.run(async () => assert.fail("mine")), assert.AssertionError);
  fake.respond = () => problem(503, "release_unknown");
  assert.equal(await lock.release(), "unknown");
});

test("after a long wait a renewal says what is left", async () => {
  await using fake = await Fake.start();
  // More than a third of the lease.
  const lock = await serve(fake, 3000, undefined, 1100).lock("n", { renew: false });
  assert.equal(fake.count("PUT"), 1);
  assert.ok(lock.left > 0);
  await lock.release();
});

test("a grant that cannot be believed is given back", async () => {
  await using fake = await Fake.start();
  await assert.rejects(serve(fake, 1).lock("n", { wait: 0 }), Unavailable);
  await until("it to be given back", () => fake.count("DELETE") === 1);
  await assert.rejects(serve(fake, 1, problem(412, "lock_lost")).lock("n", { wait: 0 }), LockHeld);
});
