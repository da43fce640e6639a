/** What is read and what a write answers, with what is known about it. */

/**
 * How true a value is: `linearizable`, `bounded` (older than an acknowledged write by a lease at most), `pending` (a write
 * of Mainstay's that waits in its journal), `unpromised` or `unverified` (the record does not answer).
 */
export type Worth = "linearizable" | "bounded" | "pending" | "unpromised" | "unverified";

/** A value, and where it comes from. */
export class Entry {
  constructor(
    /** The value. */
    readonly value: Uint8Array,
    /** The backend that answered. */
    readonly source: string,
    /** Whether it is possibly older than the last acknowledged write. */
    readonly stale: boolean,
    /** How true it is. */
    readonly worth: Worth,
    /** Age of the copy in milliseconds, when a cache answered. */
    readonly age: number | undefined,
    /** Time left to live in milliseconds; undefined: it does not expire. */
    readonly ttl: number | undefined,
    /** The version, where the backend gives one: for `ifVersion`. */
    readonly version: string | undefined,
  ) {}

  /** The value as text. */
  text(): string {
    return new TextDecoder().decode(this.value);
  }

  /** The value, parsed. What is in there is for the caller to know. */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}

/** The record, or the best backend of a failover route, has it. */
export interface Stored {
  readonly kind: "stored";
  /** The backend that took it. */
  readonly source: string | undefined;
  /** The new version, where the backend gives one. */
  readonly version: string | undefined;
}

/** The record is down; the write is on the disk of Mainstay's host and is applied when the record is back. */
export interface Journaled {
  readonly kind: "journaled";
  /** The number of the journal's entry. */
  readonly sequence: number;
}

/** What a write that was acknowledged is worth. */
export type Ack = Stored | Journaled;

/** The document of `?meta`. */
interface Meta {
  readonly value: string;
  readonly encoding: "utf8" | "base64";
  readonly source: string;
  readonly stale: boolean;
  readonly worth: Worth;
  readonly age: number | null;
  readonly ttl: number | null;
  readonly version: string | null;
}

/** Reads the document of `?meta`. */
export function entryOf(body: string): Entry {
  const meta = JSON.parse(body) as Meta;
  const milliseconds = (seconds: number | null): number | undefined => (seconds === null ? undefined : Math.round(seconds * 1000));
  return new Entry(
    bytesOf(meta.value, meta.encoding),
    meta.source,
    meta.stale,
    meta.worth,
    milliseconds(meta.age),
    milliseconds(meta.ttl),
    meta.version ?? undefined,
  );
}

/** Bytes as JSON carries them. */
export function bytesOf(text: string, encoding: "utf8" | "base64"): Uint8Array {
  if (encoding === "utf8") return new TextEncoder().encode(text);
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
