// The normal use of ioredis, without special settings: node normal_use.js PORT
const assert = require("node:assert");
const Redis = require("ioredis");

async function main() {
  const client = new Redis(Number(process.argv[2]));
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.set("js:a", "1"), "OK");
  assert.equal(await client.get("js:a"), "1");
  assert.equal(await client.get("js:none"), null);
  assert.equal(await client.set("js:a", "2", "NX"), null);
  assert.equal(await client.set("js:a", "2", "EX", 60), "OK");
  assert.ok((await client.ttl("js:a")) > 0);
  assert.equal(await client.incrby("js:n", 42), 42);
  assert.equal(await client.mset({ "js:x": "1", "js:y": "2" }), "OK");
  assert.deepEqual(await client.mget("js:x", "js:none", "js:y"), ["1", null, "2"]);
  const pipeline = client.pipeline();
  for (let number = 0; number < 200; number += 1) {
    pipeline.set(`js:p:${number}`, number).get(`js:p:${number}`);
  }
  const replies = await pipeline.exec();
  replies.forEach(([error]) => assert.ifError(error));
  assert.equal(replies[399][1], "199");
  const keys = [];
  for await (const page of client.scanStream({ match: "js:[xy]" })) keys.push(...page);
  assert.deepEqual([...new Set(keys)].sort(), ["js:x", "js:y"]);
  const everything = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  await client.set("js:binary", everything);
  assert.ok((await client.getBuffer("js:binary")).equals(everything));
  assert.equal(await client.del("js:x", "js:y"), 2);
  await assert.rejects(client.incr("js:binary"), /not an integer/);
  await client.quit();
  const automatic = new Redis({ port: Number(process.argv[2]), enableAutoPipelining: true });
  const written = await Promise.all(Array.from({ length: 100 }, (_, number) => automatic.set(`js:q:${number}`, number)));
  assert.ok(written.every((reply) => reply === "OK"));
  automatic.disconnect();
  console.log("ioredis works");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
