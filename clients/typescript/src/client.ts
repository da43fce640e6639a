/** Values, counters, keys and locks of one Mainstay. */

import { entryOf, bytesOf, type Ack, type Entry } from "./entry.js";
import { Transport, segment, type ClientOptions, type Reply } from "./http.js";
import { healthOf, type StorageHealth } from "./health.js";
import { LockHeld } from "./errors.js";
import { Lock, acquire, type LockOptions } from "./lock.js";
import { written, type Duration } from "./time.js";

/** A key: text, or bytes. */
export type Key = string | Uint8Array;

/** For one call. */
export interface CallOptions {
  /** Ends the call; its reason is what the call throws. */
  readonly signal?: AbortSignal;
}

/** How a value is written. */
export interface SetOptions extends CallOptions {
  /** Time to live; without one the route's. */
  readonly ttl?: Duration;
  /** Only if the key still has this version, as it was read. */
  readonly ifVersion?: string;
  /** Only if there is no such key. */
  readonly ifAbsent?: boolean;
}

/** How a key is deleted. */
export interface DeleteOptions extends CallOptions {
  /** Only if the key still has this version, as it was read. */
  readonly ifVersion?: string;
}

/** How long `lock` waits when nothing is said. */
const WAIT = 10_000;

/** A client. Holds nothing that has to be closed; safe to share. */
export class Mainstay {
  private readonly transport: Transport;

  constructor(options: ClientOptions = {}) {
    this.transport = new Transport(options);
  }

  /** The value and where it came from; undefined: there is no such key. */
  async get(key: Key, options: CallOptions = {}): Promise<Entry | undefined> {
    const path = `/v1/kv/${segment(key)}?meta`;
    const reply = await this.transport.send({ method: "GET", path, signal: options.signal }, [404]);
    return reply.status === 404 ? undefined : entryOf(reply.text);
  }

  /** Writes a value. Throws `Conflict` when the condition does not hold. */
  async set(key: Key, value: string | Uint8Array, options: SetOptions = {}): Promise<Ack> {
    const ttl = options.ttl === undefined ? "" : `?ttl=${written(options.ttl)}`;
    const headers = { "content-type": "application/octet-stream", ...conditions(options) };
    const path = `/v1/kv/${segment(key)}${ttl}`;
    return ackOf(await this.transport.send({ method: "PUT", path, headers, body: value, signal: options.signal }));
  }

  /** Deletes a key; one that is not there is no error, unless a version was asked for. */
  async delete(key: Key, options: DeleteOptions = {}): Promise<Ack> {
    const path = `/v1/kv/${segment(key)}`;
    return ackOf(await this.transport.send({ method: "DELETE", path, headers: conditions(options), signal: options.signal }));
  }

  /** Adds to a counter and answers the new value; a missing key counts as 0. Exact up to 2^53. */
  async increment(key: Key, by = 1, options: CallOptions = {}): Promise<number> {
    const path = `/v1/kv/${segment(key)}/incr?by=${by}`;
    const reply = await this.transport.send({ method: "POST", path, signal: options.signal });
    return (JSON.parse(reply.text) as { value: number }).value;
  }

  /** The keys that begin with this, page by page. A key that is not text comes as bytes. */
  async *keys(prefix = "", options: CallOptions = {}): AsyncGenerator<Key, void, undefined> {
    let cursor: string | null = null;
    do {
      const next: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const path = `/v1/kv?limit=1000&prefix=${encodeURIComponent(prefix)}${next}`;
      const reply = await this.transport.send({ method: "GET", path, signal: options.signal });
      const page = JSON.parse(reply.text) as { keys: { key: string; encoding: "utf8" | "base64" }[]; cursor: string | null };
      for (const { key, encoding } of page.keys) yield encoding === "utf8" ? key : bytesOf(key, encoding);
      cursor = page.cursor;
    } while (cursor !== null);
  }

  /** Takes a lock, waiting up to `wait` (default 10 s). Throws `LockHeld` when somebody else still holds it then. */
  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    return acquire(this.transport, name, { wait: WAIT, ...options });
  }

  /** Takes a lock if it is free; undefined: somebody else holds it. */
  async tryLock(name: string, options: LockOptions = {}): Promise<Lock | undefined> {
    try {
      return await acquire(this.transport, name, { ...options, wait: 0 });
    } catch (error) {
      if (error instanceof LockHeld) return undefined;
      throw error;
    }
  }

  /** The state of the storage behind Mainstay. `Health` is the same for the endpoints of a service. */
  async health(options: CallOptions & { readonly timeout?: number } = {}): Promise<StorageHealth> {
    const timeout = options.timeout === undefined ? {} : { timeout: options.timeout };
    const path = "/api/health/storage";
    return healthOf((await this.transport.send({ method: "GET", path, signal: options.signal, ...timeout }, [503])).text);
  }
}

function conditions(options: { readonly ifVersion?: string; readonly ifAbsent?: boolean }): Record<string, string> {
  if (options.ifVersion !== undefined && options.ifAbsent === true) {
    throw new RangeError("ifVersion and ifAbsent exclude each other");
  }
  if (options.ifVersion !== undefined) return { "if-match": `"${options.ifVersion}"` };
  return options.ifAbsent === true ? { "if-none-match": "*" } : {};
}

function ackOf(reply: Reply): Ack {
  if (reply.status === 202) {
    return { kind: "journaled", sequence: (JSON.parse(reply.text) as { journaled: number }).journaled };
  }
  const version = reply.headers.get("etag")?.replace(/^"|"$/g, "");
  return { kind: "stored", source: reply.headers.get("x-mainstay-source") ?? undefined, version };
}
