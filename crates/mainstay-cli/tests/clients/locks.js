// Lock clients of Node in normal use, and while Redis dies under a lock that is held: node locks.js PORT
// At a line that ends with "?" it waits for a line. The two versions of redlock stand in folders of their own.
const assert = require("node:assert");
const readline = require("node:readline");
const Redis = require("ioredis");
const Redlock4 = require(`${process.env.REDLOCK_4}/redlock`);
const Redlock5 = require(`${process.env.REDLOCK_5}/redlock`).default;
const { Mutex } = require("redis-semaphore");

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const clients = [];
const client = () => {
  const one = new Redis(Number(process.argv[2]));
  clients.push(one);
  return one;
};

async function redlock4(held) {
  const [first, second] = [client(), client()].map((one) => new Redlock4([one], { retryCount: 0 }));
  let lock = await first.lock("js:4", 30000);
  await assert.rejects(second.lock("js:4", 30000), /unable|Exceeded/i);
  await held();
  await assert.rejects(second.lock("js:4", 30000), /unable|Exceeded/i);
  lock = await lock.extend(20000);
  await lock.unlock();
  const both = await second.lock(["{js}:a", "{js}:b"], 30000);
  await assert.rejects(first.lock("{js}:b", 30000), /unable|Exceeded/i);
  await both.unlock();
}

async function redlock5(held) {
  const [first, second] = [client(), client()].map((one) => new Redlock5([one], { retryCount: 0 }));
  let lock = await first.acquire(["js:5"], 30000);
  await assert.rejects(second.acquire(["js:5"], 30000));
  await held();
  await assert.rejects(second.acquire(["js:5"], 30000));
  lock = await lock.extend(20000);
  await lock.release();
  await second.using(["js:5"], 5000, async (signal) => {
    await assert.rejects(first.acquire(["js:5"], 30000));
    assert.ok(!signal.aborted);
  });
  const both = await second.acquire(["{js}:a", "{js}:b"], 30000);
  await assert.rejects(first.acquire(["{js}:b"], 30000));
  await both.release();
}

async function semaphore(held) {
  const mutex = () => new Mutex(client(), "js", { lockTimeout: 30000, refreshInterval: 200, acquireAttemptsLimit: 1 });
  const [first, second] = [mutex(), mutex()];
  await first.acquire();
  assert.equal(await second.tryAcquire(), false);
  await held();
  assert.equal(await second.tryAcquire(), false);
  // It refreshes meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(first.isAcquired);
  await first.release();
  assert.equal(await second.tryAcquire(), true);
  await second.release();
}

async function wait(word) {
  console.log(`${word}?`);
  assert.equal((await lines.next()).value, "go");
}

async function main() {
  for (const use of [redlock4, redlock5, semaphore]) {
    await use(async () => {});
    console.log(`${use.name} works`);
  }
  for (const use of [redlock4, redlock5, semaphore]) {
    await use(() => wait(`${use.name} held`));
    console.log(`${use.name} works through an outage`);
    await wait("over");
  }
  clients.forEach((one) => one.disconnect());
  console.log("done");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
