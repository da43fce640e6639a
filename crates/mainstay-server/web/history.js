// The events, at most 1,000, and what they say: the states of each backend over time, outages and recoveries.
// Pure: no document, no network.

const EVENTS_MAX = 1000;
/** Connection attempts of one backend. */
const ATTEMPTS_MAX = 100;

/** Which of the four looks a state has. */
export const LOOKS = { up: "ok", degraded: "warn", probing: "warn", down: "bad", open: "bad", forced: "off", drained: "off", unknown: "none" };
const WORDS = { up: "up", degraded: "degraded", probing: "probing", down: "down", open: "breaker open", forced: "forced open", drained: "out of use", unknown: "not known" };

export function word(state) {
  return WORDS[state];
}

/** One state of a backend from its parts. */
export function stateOf({ drained, health, breaker }) {
  if (drained) return "drained";
  if (breaker === "isolated") return "forced";
  if (health === "down") return "down";
  if (breaker === "open") return "open";
  if (breaker === "half_open") return "probing";
  return health;
}

/** An event in words. */
export function describe(event) {
  switch (event.kind) {
    case "breaker": return { kind: "breaker", text: `${event.from} → ${event.to}`.replaceAll("_", "-"), look: look(event.to) };
    case "health": return { kind: "health", text: `${event.from} → ${event.to}`, look: look(event.to) };
    case "connection": return { kind: "connection", text: event.connected ? `connected, attempt ${event.attempt}` : `attempt ${event.attempt} failed`, look: event.connected ? "ok" : "bad" };
    case "stuck_reset": return { kind: "stuck reset", text: `client rebuilt after ${event.attempts} attempts`, look: "warn" };
    case "drain": return { kind: "drain", text: event.drained ? "taken out of use" : "put back into use", look: event.drained ? "off" : "ok" };
    case "drill": return { kind: "drill", text: event.state === "injected" ? "fault injected" : "fault lifted", look: event.state === "injected" ? "warn" : "ok" };
    case "readmission": return { kind: "readmission", text: `${event.keys} ${event.keys === 1 ? "key" : "keys"} caught up`, look: "ok" };
    case "lifecycle": return { kind: "copies", text: `${event.from} → ${event.to}`, look: { up: "ok", down: "bad" }[event.to] ?? "warn" };
    case "copies": return { kind: "copies", text: event.state, look: { readmitted: "ok", refilled: "ok", inconsistent: "bad" }[event.state] ?? "warn" };
    case "journal": return { kind: "journal", ...JOURNAL[event.state]?.(event.entries) ?? { text: event.state, look: "none" } };
    case "lock": return { kind: "lock", text: event.state, look: { lost: "bad", admitted: "ok" }[event.state] ?? "off" };
    case "flapping": return { kind: "flapping", text: event.active ? `out of service ${event.switches} times` : "steady again", look: event.active ? "warn" : "ok" };
    case "history": return { kind: "history", text: event.state === "memory" ? "kept in memory only" : event.state, look: "warn" };
    case "storage": return { kind: "storage", text: event.state, look: "ok" };
    default: return { kind: event.kind.replaceAll("_", " "), text: "", look: "none" };
  }
}

const JOURNAL = {
  waiting: (entries) => ({ text: `${entries} ${entries === 1 ? "write waits" : "writes wait"}`, look: "warn" }),
  replayed: (entries) => ({ text: `${entries} ${entries === 1 ? "write" : "writes"} dealt with`, look: "ok" }),
  dead_letter: (entry) => ({ text: `${entry} is a dead letter`, look: "bad" }),
  discarded: (entry) => ({ text: `dead letter ${entry} discarded`, look: "off" }),
};

/** Why it happened, in the server's words. */
export function why(event) {
  const { reason, error, actor } = event;
  const said = [reason, error && !reason.includes(error.message) ? error.message : ""].filter(Boolean).join(": ");
  return actor && actor !== "system" && !said.includes(actor) ? `${said} (by ${actor})`.trim() : said;
}

function look(to) {
  return { up: "ok", closed: "ok", degraded: "warn", half_open: "warn", down: "bad", open: "bad", isolated: "off" }[to] ?? "none";
}

export class History {
  events = [];
  /** Rises with each event. */
  version = 0;
  #seen = new Set();
  #attempts = new Map();
  #known = new Map();

  /** Takes an event once; false for one that is known. */
  take(event) {
    if (!this.#isNew(event)) return false;
    this.events.push(event);
    this.version += 1;
    this.#bound(event);
    return true;
  }

  /** Takes what happened earlier, in whatever order. */
  fill(events) {
    const fresh = events.filter((event) => this.#isNew(event));
    if (fresh.length === 0) return;
    this.events = [...this.events, ...fresh].sort((a, b) => a.unix_ms - b.unix_ms || a.id - b.id);
    this.version += 1;
    for (const event of fresh) this.#bound(event);
  }

  #isNew(event) {
    // An id alone is not enough: a new process counts from 1 again.
    const key = `${event.unix_ms}:${event.id}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }

  /** A backend that is tried for hours must not push out what else happened. */
  #bound({ kind, backend }) {
    if (kind === "connection") {
      const attempts = (this.#attempts.get(backend) ?? 0) + 1;
      this.#attempts.set(backend, attempts);
      if (attempts > ATTEMPTS_MAX) this.#forget(this.events.findIndex((event) => event.kind === "connection" && event.backend === backend));
    }
    if (this.events.length > EVENTS_MAX) this.#forget(0);
  }

  #forget(at) {
    const [old] = this.events.splice(at, 1);
    this.#seen.delete(`${old.unix_ms}:${old.id}`);
    if (old.kind === "connection") this.#attempts.set(old.backend, this.#attempts.get(old.backend) - 1);
  }

  /** Stretches of one state, oldest first, for one backend; the last one lasts until `now`. Not to be changed. */
  stretches(backend, now) {
    const key = `${this.version} ${stateOf({ drained: backend.drained, health: backend.health, breaker: backend.breaker.state })}`;
    let known = this.#known.get(backend.name);
    if (known?.key !== key) {
      known = { key, all: this.#reckon(backend, now) };
      known.recoveries = this.#recoveries(backend.name, known.all);
      this.#known.set(backend.name, known);
    }
    known.all.at(-1).to = now;
    return known.all;
  }

  /**
   * Outages that have ended, oldest first. `recovery` is the time from the first sign that the backend was back (a
   * connection, a half-open breaker) to full service: the part that is Mainstay's.
   */
  recoveries(backend, now) {
    this.stretches(backend, now);
    return this.#known.get(backend.name).recoveries;
  }

  /** From the events; before the first of them the parts are what it says they were. */
  #reckon(backend, now) {
    const own = this.events.filter((event) => event.kind === "storage" || (event.backend === backend.name && ["breaker", "health", "drain"].includes(event.kind)));
    const parts = {
      health: own.find((event) => event.kind === "health")?.from ?? backend.health,
      breaker: own.find((event) => event.kind === "breaker")?.from ?? backend.breaker.state,
      drained: own.some((event) => event.kind === "drain") ? !own.find((event) => event.kind === "drain").drained : backend.drained,
    };
    const all = [{ from: -Infinity, to: now, state: stateOf(parts), reason: "" }];
    for (const event of own) {
      if (event.kind === "drain") parts.drained = event.drained;
      else if (event.kind !== "storage") parts[event.kind] = event.to;
      // Between two processes nothing is known.
      const state = event.state === "closing" ? "unknown" : stateOf(parts);
      const last = all.at(-1);
      if (state === last.state) continue;
      last.to = event.unix_ms;
      // Two events of one moment: only what it came to is a state.
      if (last.from === event.unix_ms) all.pop();
      if (all.at(-1)?.state === state) {
        all.at(-1).to = now;
        continue;
      }
      all.push({ from: event.unix_ms, to: now, state, reason: event.reason });
    }
    return all;
  }

  #recoveries(name, stretches) {
    const found = [];
    let outage = null;
    for (const { from, state } of stretches) {
      if (state === "down" || state === "open") outage ??= { from };
      if (outage && ["drained", "forced", "unknown"].includes(state)) outage = null;
      if (!outage || (state !== "up" && state !== "degraded")) continue;
      const began = outage.from;
      outage = null;
      // One whose beginning nobody saw has no length.
      if (!Number.isFinite(began)) continue;
      found.push({ backend: name, from: began, to: from, outage: from - began, recovery: from - this.#signOfLife(name, began, from) });
    }
    return found;
  }

  #signOfLife(name, from, to) {
    let sign = null;
    for (const event of this.events) {
      if (event.backend !== name || event.unix_ms < from || event.unix_ms > to) continue;
      const back = (event.kind === "connection" && event.connected) || (event.kind === "breaker" && event.to === "half_open");
      const lost = (event.kind === "connection" && !event.connected) || (event.kind === "breaker" && event.to === "open");
      if (back) sign ??= event.unix_ms;
      if (lost) sign = null;
    }
    // Without a sign in between all of it was recovery.
    return sign ?? from;
  }
}
