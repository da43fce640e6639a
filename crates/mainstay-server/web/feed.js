// What comes from the server by itself: the status once a second, the events, and what they were before.
// It knows no view.

import { byId } from "./dom.js";
import { follow, get, now, Unauthorized } from "./api.js";
import { login } from "./login.js";

const POLL_MS = 1000;
/** A stream that comes back within this time is not worth a word. */
const GRACE_MS = 1500;
const RETRY_MS = [500, 1000, 2000, 3000];

const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export class Feed {
  /** The last status document. */
  status = null;
  /** When it came, by the server's clock; 0: never. */
  heardAt = 0;
  /** The dialog that asks for the token, while it is open. */
  asking = null;
  /** By backend: the share of failures at which its breaker opens. */
  thresholds = new Map();
  #samples;
  #history;
  #changed;
  /** Since when the stream, or the status, is missing; null while it is there. */
  #missing = { stream: now(), status: null };

  /** `changed` is called when there is something new to show. */
  constructor(samples, history, changed) {
    [this.#samples, this.#history, this.#changed] = [samples, history, changed];
  }

  start() {
    this.#pollForEver();
    this.#followForEver();
  }

  isLost() {
    return Object.values(this.#missing).some((since) => since !== null && now() - since > GRACE_MS);
  }

  async poll() {
    try {
      const next = await get("/v1/status");
      this.#missing.status = null;
      this.#take(next);
    } catch (error) {
      if (error instanceof Unauthorized) this.#ask();
      this.#missing.status ??= now();
      this.#changed();
    }
  }

  #take(status) {
    this.status = status;
    this.heardAt = now();
    this.#samples.take(status, this.heardAt / 1000);
    this.#changed();
  }

  /** One dialog, however many requests were refused. */
  #ask() {
    this.asking ??= login(byId("login")).finally(() => { this.asking = null; });
    return this.asking;
  }

  async #pollForEver() {
    for (;;) {
      const began = performance.now();
      if (this.asking) await this.asking;
      await this.poll();
      await wait(Math.max(100, POLL_MS - (performance.now() - began)));
    }
  }

  async #followForEver() {
    for (let failures = 0; ; failures += 1) {
      try {
        if (this.asking) await this.asking;
        const last = await this.#catchUp();
        await follow(last, {
          onopen: () => {
            failures = 0;
            this.#missing.stream = null;
            this.#changed();
          },
          onmessage: (name, data) => {
            if (name === "snapshot") this.#take(data);
            else if (name === "message" && this.#history.take(data)) this.#changed();
          },
        });
      } catch (error) {
        this.#missing.stream ??= now();
        this.#changed();
        if (error instanceof Unauthorized) await this.#ask();
        else await wait(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
      }
    }
  }

  /** What happened before the stream begins; the id of the last event. */
  async #catchUp() {
    if (!this.status) await this.poll();
    const [{ events }, config] = await Promise.all([get("/v1/events?format=json&limit=1000"), get("/v1/config")]);
    for (const [name, { breaker }] of Object.entries(config.backends ?? {})) {
      if (breaker?.failure_rate > 0) this.thresholds.set(name, breaker.failure_rate);
    }
    // An older server keeps no history, and a request in vain would be an error in the console.
    const names = this.status?.history ? this.status.backends.map((backend) => backend.name) : [];
    const older = await Promise.all(names.map(past));
    this.#history.fill([...older.flat(), ...events]);
    return events.at(-1)?.id ?? 0;
  }
}

/** What the server has kept of one backend for longer than the events reach; nothing where it keeps none. */
async function past(name) {
  try {
    const { events, entries } = await get(`/v1/history?backend=${encodeURIComponent(name)}`);
    return events ?? entries ?? [];
  } catch (error) {
    if (error instanceof Unauthorized) throw error;
    return [];
  }
}
