// The events, at most 1,000, and what they say: the states of each backend over time, outages and recoveries.
// Pure: no document, no network.

const EVENTS_MAX = 1000;

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
    case "readmission": return { kind: "readmission", text: `${event.keys} keys caught up`, look: "ok" };
    case "storage": return { kind: "storage", text: event.state, look: "ok" };
    default: return { kind: event.kind.replaceAll("_", " "), text: "", look: "none" };
  }
}

function look(to) {
  return { up: "ok", closed: "ok", degraded: "warn", half_open: "warn", down: "bad", open: "bad", isolated: "off" }[to] ?? "none";
}

export class History {
  events = [];
  #seen = new Set();

  /** Takes an event once; false for one that is known. */
  take(event) {
    // An id alone is not enough: a new process counts from 1 again.
    const key = `${event.unix_ms}:${event.id}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    this.events.push(event);
    if (this.events.length > EVENTS_MAX) {
      const old = this.events.shift();
      this.#seen.delete(`${old.unix_ms}:${old.id}`);
    }
    return true;
  }

  /** Stretches of one state, oldest first, for one backend; the last one lasts until `now`. */
  stretches(backend, now) {
    const own = this.events.filter((event) => event.backend === backend.name && ["breaker", "health", "drain"].includes(event.kind));
    const parts = {
      health: own.find((event) => event.kind === "health")?.from ?? backend.health,
      breaker: own.find((event) => event.kind === "breaker")?.from ?? backend.breaker.state,
      drained: own.length > 0 && own.some((event) => event.kind === "drain") ? !own.find((event) => event.kind === "drain").drained : backend.drained,
    };
    const all = [{ from: -Infinity, to: now, state: stateOf(parts), reason: "" }];
    for (const event of own) {
      if (event.kind === "drain") parts.drained = event.drained;
      else parts[event.kind] = event.to;
      const state = stateOf(parts);
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

  /**
   * Outages that have ended, oldest first. `recovery` is the time from the first sign that the backend was back (a
   * connection, a half-open breaker) to full service: the part that is Mainstay's.
   */
  recoveries(backend, now) {
    const found = [];
    let outage = null;
    for (const { from, state } of this.stretches(backend, now)) {
      if (state === "down" || state === "open") outage ??= { from };
      if (outage && (state === "drained" || state === "forced")) outage = null;
      if (!outage || (state !== "up" && state !== "degraded")) continue;
      const began = outage.from;
      outage = null;
      // One whose beginning nobody saw has no length.
      if (!Number.isFinite(began)) continue;
      found.push({ backend: backend.name, from: began, to: from, outage: from - began, recovery: from - this.#signOfLife(backend.name, began, from) });
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
