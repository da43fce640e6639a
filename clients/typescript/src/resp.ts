/** For those who stay with ioredis or node-redis: where a value came from, and what `-UNAVAILABLE` says. */

import type { Worth } from "./entry.js";
import { RETRY_AFTER, Unavailable } from "./errors.js";

/** ioredis, or node-redis. */
export type RespClient =
  | { call(command: string, ...args: string[]): Promise<unknown> }
  | { sendCommand(args: string[]): Promise<unknown> };

/** What MAINSTAY.META says about a key. */
export interface KeyMeta {
  readonly source: string;
  readonly stale: boolean;
  readonly worth: Worth;
  /** Age of the copy in milliseconds, when a cache answered. */
  readonly age: number | undefined;
  /** Time left to live in milliseconds; undefined: it does not expire. */
  readonly ttl: number | undefined;
  readonly version: string | undefined;
  /** Bytes of the value. */
  readonly length: number;
}

/** Where the value of a key comes from now; undefined: there is no such key. It is a read of its own beside GET. */
export async function meta(client: RespClient, key: string): Promise<KeyMeta | undefined> {
  const reply = "call" in client ? await client.call("MAINSTAY.META", key) : await client.sendCommand(["MAINSTAY.META", key]);
  if (reply === null || reply === undefined) return undefined;
  const fields = fieldsOf(reply);
  const number = (name: string): number | undefined => (fields.get(name) == null ? undefined : Number(fields.get(name)));
  const version = fields.get("version");
  return {
    source: String(fields.get("source")),
    // RESP 2 has no booleans.
    stale: fields.get("stale") === true || Number(fields.get("stale")) === 1,
    worth: String(fields.get("worth")) as Worth,
    age: number("age_ms"),
    ttl: number("ttl_ms"),
    version: version == null ? undefined : String(version),
    length: number("length") ?? 0,
  };
}

/** What an error of a Redis client says, if it is Mainstay's `-UNAVAILABLE`; undefined: it is another error. */
export function unavailable(error: unknown): Unavailable | undefined {
  const text = error instanceof Error ? error.message : "";
  const said = /^-?UNAVAILABLE (.*)$/s.exec(text)?.[1];
  if (said === undefined) return undefined;
  const retryAfter = /; retry_after_ms=(\d+)/.exec(said)?.[1];
  return new Unavailable(said, {
    effect: said.includes("; outcome unknown") ? "unknown" : "none",
    retryAfter: retryAfter === undefined ? RETRY_AFTER : Number(retryAfter),
    cause: error,
  });
}

/** A map of RESP 3, which clients show as a Map, as an object, or as the list that RESP 2 has. */
function fieldsOf(reply: unknown): Map<string, unknown> {
  if (reply instanceof Map) return new Map([...reply].map(([name, value]) => [String(name), value]));
  if (!Array.isArray(reply)) return new Map(Object.entries(reply as object));
  const fields = new Map<string, unknown>();
  for (let at = 0; at + 1 < reply.length; at += 2) fields.set(String(reply[at]), reply[at + 1]);
  return fields;
}
