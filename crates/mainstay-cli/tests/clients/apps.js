// A web application with sessions (express-session, connect-redis), a rate limit (rate-limiter-flexible) and a job queue
// (bullmq), none of them written for Mainstay, through an outage of Redis: node apps.js PORT
// Asks `outage?` and `over?` on its output, and goes on when a line comes in.
const assert = require("node:assert");
const readline = require("node:readline");
const express = require("express");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");
const { RateLimiterRedis } = require("rate-limiter-flexible");
const { Queue, QueueEvents, Worker } = require("bullmq");

const port = Number(process.argv[2]);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (what) => {
  console.log(`${what}?`);
  await lines.next();
};

async function main() {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on("error", (error) => console.log("client:", error.message));
  await client.connect();

  const limiter = new RateLimiterRedis({
    storeClient: client,
    useRedisPackage: true,
    points: 100,
    duration: 600,
  });
  const app = express();
  app.use(
    session({
      store: new RedisStore({ client }),
      secret: "not a secret",
      resave: false,
      saveUninitialized: false,
    }),
  );
  app.get("/", async (request, response, next) => {
    try {
      const limit = await limiter.consume("somebody");
      request.session.views = (request.session.views ?? 0) + 1;
      response.json({ views: request.session.views, left: limit.remainingPoints });
    } catch (error) {
      next(error);
    }
  });
  const server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  let cookie;
  const visit = async () => {
    const headers = cookie ? { cookie } : {};
    const answer = await fetch(`http://127.0.0.1:${server.address().port}/`, { headers });
    assert.equal(answer.status, 200);
    cookie ??= answer.headers.get("set-cookie").split(";")[0];
    return answer.json();
  };

  const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  const queue = new Queue("jobs", { connection });
  const events = new QueueEvents("jobs", { connection });
  const work = async (job) => job.data.number * 2;
  const worker = new Worker("jobs", work, { connection, runRetryDelay: 200, drainDelay: 1 });
  for (const part of [queue, events, worker]) {
    part.on("error", () => {});
  }
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()]);
  const work_through = async (from) => {
    const numbers = Array.from({ length: 10 }, (_, nth) => from + nth);
    const jobs = await queue.addBulk(numbers.map((number) => ({ name: "double", data: { number } })));
    const delayed = await queue.add("double", { number: from }, { delay: 100 });
    const results = await Promise.all(
      [...jobs, delayed].map((job) => job.waitUntilFinished(events, 60_000)),
    );
    assert.deepEqual(results, [...numbers, from].map((number) => number * 2));
  };

  assert.deepEqual(await visit(), { views: 1, left: 99 });
  assert.deepEqual(await visit(), { views: 2, left: 98 });
  await work_through(0);
  assert.equal((await queue.getJobCounts("completed")).completed, 11);
  console.log("the application works");

  await ask("outage");
  for (let number = 3; number <= 12; number += 1) {
    assert.deepEqual(await visit(), { views: number, left: 100 - number });
  }
  await assert.rejects(queue.add("double", { number: 1 }), /UNAVAILABLE redis .*retry_after_ms=/);
  console.log("sessions and limits work on, the queue says why it cannot");

  await ask("over");
  assert.deepEqual(await visit(), { views: 13, left: 87 });
  await work_through(100);
  console.log("the queue works again");
  console.log("done");
  process.exit(0);
}

main().catch((error) => {
  console.log(error);
  process.exit(1);
});
