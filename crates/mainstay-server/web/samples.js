// What consecutive status documents say about the time between them, kept for an hour in bounded memory.
// Pure: no document, no network.

const FINE_MAX = 900;
const COARSE_MAX = 360;
const COARSE_SECONDS = 10;
/** A rate over less time than this is noise. */
const APART_MS = 500;

/** Outcomes that are the caller's own mistake, not a failure of the storage. */
const CALLERS = new Set(["invalid_argument", "wrong_type", "not_integer", "not_float", "overflow", "too_large", "no_such_key", "unsupported"]);

/** The backends of a route, from its description: `redis -> db(record)`, `redis -> memory (failover)`. */
export function chain(route) {
  const record = route.description.match(/^(.*)\(record\)$/);
  const text = record ? record[1] : route.description.replace(/ \([^)]*\)$/, "");
  const names = text.split(" -> ");
  return { names, caches: record ? names.slice(0, -1) : [], record: record ? names.at(-1) : null };
}

/** Whether calls pass by this backend now. */
export function bypassed(backend) {
  return backend.drained || backend.health === "down" || ["open", "isolated"].includes(backend.breaker.state);
}

/** A running total of everything that is counted. */
function totals(status) {
  const sum = { requests: 0, errors: 0, reads: 0, hits: 0, fallbacks: 0, attempts: 0, connects: 0, applied: status.journal?.applied ?? 0, sources: {}, edges: {}, readEdges: {}, ok: {}, failed: {} };
  const caches = new Map(status.routes.map((route) => [route.prefix, chain(route).caches]));
  for (const { route, op, source, outcome, count } of status.requests) {
    sum.requests += count;
    if (outcome !== "ok") {
      if (!CALLERS.has(outcome)) sum.errors += count;
      continue;
    }
    add(sum.sources, source, count);
    add(sum.edges, edge(route, source), count);
    if (op === "read") add(sum.readEdges, edge(route, source), count);
    const cached = caches.get(route) ?? [];
    if (op === "read" && cached.length > 0) {
      sum.reads += count;
      if (cached.includes(source)) sum.hits += count;
    }
  }
  for (const { count } of status.fallbacks) sum.fallbacks += count;
  for (const { name, calls, reconnect } of status.backends) {
    sum.attempts += reconnect.attempts_total;
    sum.connects += reconnect.connects_total ?? reconnect.reconnects_total;
    sum.ok[name] = calls.success;
    sum.failed[name] = calls.failure;
  }
  return sum;
}

/** The name of the way from a route to a backend. */
export function edge(route, backend) {
  return `${route}\n${backend}`;
}

function add(into, key, value) {
  into[key] = (into[key] ?? 0) + value;
}

/** What is in `after` beyond `before`, in the same shape. */
function minus(after, before) {
  const rest = {};
  for (const [key, value] of Object.entries(after)) {
    rest[key] = typeof value === "number" ? value - (before[key] ?? 0) : minus(value, before[key] ?? {});
  }
  return rest;
}

function plus(into, more) {
  for (const [key, value] of Object.entries(more)) {
    if (typeof value === "number") add(into, key, value);
    else into[key] = plus(into[key] ?? {}, value);
  }
  return into;
}

/** Several samples as one; of latencies the mean median and the worst 99th percentile, of levels the highest. */
export function merge(samples) {
  const whole = { t: samples.at(-1).t, seconds: 0, delta: {}, latency: {}, level: { journal: 0, dirty: 0 } };
  for (const sample of samples) {
    for (const name of Object.keys(whole.level)) whole.level[name] = Math.max(whole.level[name], sample.level[name]);
    whole.seconds += sample.seconds;
    plus(whole.delta, sample.delta);
    for (const [name, { p50, p99 }] of Object.entries(sample.latency)) {
      const so = (whole.latency[name] ??= { p50: 0, p99: 0, n: 0 });
      so.p50 = (so.p50 * so.n + p50) / (so.n + 1);
      so.p99 = Math.max(so.p99, p99);
      so.n += 1;
    }
  }
  return whole;
}

/** The samples of one page. */
export class Samples {
  /** When the first was taken, Unix seconds. */
  begun = Infinity;
  /** Rises with each that was taken. */
  version = 0;
  #last = null;
  #fine = [];
  #coarse = [];
  #pending = [];
  #recent = new Map();

  /** Takes a status document; `t` in Unix seconds. */
  take(status, t) {
    this.begun = Math.min(this.begun, t);
    const before = this.#last;
    if (before && status.uptime_ms >= before.uptime && status.uptime_ms < before.uptime + APART_MS) return;
    this.#last = { sum: totals(status), uptime: status.uptime_ms };
    // The first document, and the first of a new process, have nothing to be compared with.
    if (!before || status.uptime_ms <= before.uptime) return;
    const latency = {};
    for (const { name, latency_p50_ms: p50, latency_p99_ms: p99 } of status.backends) {
      if (p50 !== undefined && p99 !== undefined) latency[name] = { p50, p99 };
    }
    const level = { journal: status.journal?.depth ?? 0, dirty: status.dirty_keys };
    const sample = { t, level, seconds: (status.uptime_ms - before.uptime) / 1000, delta: minus(this.#last.sum, before.sum), latency };
    this.version += 1;
    push(this.#fine, sample, FINE_MAX);
    this.#pending.push(sample);
    if (t - this.#pending[0].t >= COARSE_SECONDS - 1) {
      push(this.#coarse, merge(this.#pending), COARSE_MAX);
      this.#pending = [];
    }
  }

  /** When the newest was taken, Unix seconds. */
  get end() {
    return this.#fine.at(-1)?.t ?? this.begun;
  }

  /** The samples of the last seconds, at most 900. */
  since(from, seconds) {
    if (seconds <= FINE_MAX) return this.#fine.filter((sample) => sample.t >= from);
    const whole = this.#pending.length > 0 ? [...this.#coarse, merge(this.#pending)] : this.#coarse;
    return whole.filter((sample) => sample.t >= from);
  }

  /** The last seconds as one sample, or null. */
  recent(seconds) {
    const known = this.#recent.get(seconds);
    if (known?.version === this.version) return known.sample;
    const sample = this.#within(seconds);
    this.#recent.set(seconds, { version: this.version, sample });
    return sample;
  }

  #within(seconds) {
    const end = this.#fine.at(-1)?.t;
    const within = this.#fine.filter((sample) => sample.t > end - seconds);
    return within.length > 0 ? merge(within) : null;
  }
}

function push(ring, item, max) {
  ring.push(item);
  if (ring.length > max) ring.shift();
}
