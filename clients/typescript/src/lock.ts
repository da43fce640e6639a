/** Locks: leases with a fencing token that renew themselves, and that say when they are lost. */

import { LockHeld, LockLost, MainstayError, Unavailable } from "./errors.js";
import { segment, type Transport } from "./http.js";
import { Moment, millis, pause, unref, written, type Duration } from "./time.js";

/** What a lock is worth, best first. `fenced`: tokens only grow, whatever fails. */
export type Guarantee = "fenced" | "best_effort" | "host" | "process";

/** How a lock is asked for. */
export interface LockOptions {
  /** How long the lease lasts, and so for how long others wait after this process has died. Default 30 s. */
  readonly ttl?: Duration;
  /** How long to wait while somebody else holds it. */
  readonly wait?: Duration;
  /** Refused where the lock would promise less. */
  readonly require?: Guarantee;
  /** Who asks, shown to those who find it held. */
  readonly note?: string;
  /** Whether it is renewed at a third of its lease until it is released. Default true. */
  readonly renew?: boolean;
  /** Ends the wait; its reason is what is thrown. */
  readonly signal?: AbortSignal;
}

/** How a release ended. `unknown`: nobody answered; the lock ends with its lease at the latest. */
export type Released = "released" | "lost" | "unknown";

interface Grant {
  readonly name: string;
  readonly holder: string;
  readonly token: bigint;
  readonly guarantee: Guarantee;
  readonly mode: string;
  /** Milliseconds from when the request was sent. */
  readonly ttl: number;
  /** When it may be believed no longer. */
  readonly until: Moment;
}

/** A lock that is held until it is released or lost. */
export class Lock implements AsyncDisposable {
  readonly name: string;
  /** Higher than that of any holder before, where `guarantee` is `fenced`: pass it on to whatever is changed. */
  readonly token: bigint;
  readonly guarantee: Guarantee;
  /** Who granted it: record, quorum, failover, redis or local. */
  readonly mode: string;
  private until: Moment;
  private state: "held" | "lost" | "released" = "held";
  private readonly lostController = new AbortController();
  private readonly stopped = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** @internal */
  constructor(
    private readonly transport: Transport,
    private readonly grant: Grant,
    private readonly ttl: Duration | undefined,
    renew: boolean,
  ) {
    this.name = grant.name;
    this.token = grant.token;
    this.guarantee = grant.guarantee;
    this.mode = grant.mode;
    this.until = grant.until;
    this.watch();
    if (renew) void this.keep();
  }

  /** Aborts, with a `LockLost`, at the end of the lease as this process counts it. Give it to `fetch` and the like. */
  get signal(): AbortSignal {
    return this.lostController.signal;
  }

  /** Milliseconds for which it may be believed yet unless it is renewed; 0: it is lost, or released. */
  get left(): number {
    return this.state === "held" ? Math.max(0, this.until.left()) : 0;
  }

  /** Whether it was lost. */
  get lost(): boolean {
    if (this.state === "held" && this.until.left() <= 0) this.lose("its lease has ended");
    return this.state === "lost";
  }

  /** To be asked before each step that others see: throws `LockLost` when somebody else may hold the lock. */
  check(): void {
    if (this.lost) throw this.signal.reason;
    if (this.state === "released") throw new LockLost(`the lock ${this.name} was released`, { kind: "lock_released" });
  }

  /** Performs something while the lock is held; throws `LockLost` as soon as it is lost. */
  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.check();
    let fail: () => void = () => {};
    const lost = new Promise<never>((_, reject) => {
      fail = () => reject(this.signal.reason);
      this.signal.addEventListener("abort", fail, { once: true });
    });
    try {
      return await Promise.race([work(this.signal), lost]);
    } finally {
      this.signal.removeEventListener("abort", fail);
    }
  }

  /** Releases it, and says what became of it. Throws nothing; a second time it changes nothing. */
  async release(): Promise<Released> {
    if (this.lost) return "lost";
    if (this.state === "released") return "released";
    this.state = "released";
    this.stop();
    try {
      return await giveBack(this.transport, this.grant);
    } catch {
      return "unknown";
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  /** Renews it at a third of the lease, and tries again at every twelfth while nobody answers. */
  private async keep(): Promise<void> {
    let next = this.grant.ttl / 3;
    for (;;) {
      await pause(next, this.stopped.signal);
      if (this.state !== "held" || this.lost) return;
      try {
        const timeout = Math.max(100, Math.round(this.grant.ttl / 4));
        const renewed = await renewal(this.transport, this.grant, this.ttl, timeout, this.stopped.signal);
        // One that comes after the end of the lease before is not believed: somebody else may have had the lock.
        if (this.state !== "held" || this.lost) return;
        this.until = renewed;
        this.watch();
        next = this.grant.ttl / 3;
      } catch (error) {
        if (this.state !== "held") return;
        if (error instanceof LockLost) return this.lose(error.message);
        next = this.grant.ttl / 12;
      }
    }
  }

  /** Notices the end of the lease when nothing else does. */
  private watch(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.state === "held" && !this.lost) this.watch();
    }, Math.max(1, Math.min(this.until.left(), 2 ** 31 - 1)));
    unref(this.timer);
  }

  private lose(why: string): void {
    this.state = "lost";
    this.stop();
    const hint = "stop: another may hold it; acquire it again, and begin with what is there now";
    this.lostController.abort(new LockLost(`the lock ${this.name}, token ${this.token}, is lost: ${why}`, { kind: "lock_lost", hint }));
    // What the granter still has of it only keeps others waiting.
    giveBack(this.transport, this.grant).catch(() => {});
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.stopped.abort();
  }
}

/** Waits for a lock and takes it. */
export async function acquire(transport: Transport, name: string, options: LockOptions): Promise<Lock> {
  const wait = millis(options.wait ?? 0);
  const until = Moment.now().plus(wait);
  // The first request asks for what the caller said, to the millisecond; the next ones for what is left of it.
  for (let left = wait; ; left = Math.max(0, Math.round(until.left()))) {
    const grant = await ask(transport, name, options, left);
    try {
      // Counted from before the request, much of a lease is over when one has waited: a renewal says what is left.
      const believable = grant.until.left() < (grant.ttl * 2) / 3 ? await renewal(transport, grant, options.ttl) : grant.until;
      if (believable.left() <= 0) throw new Unavailable("the lock was granted too late to be believed", { kind: "timeout" });
      return new Lock(transport, { ...grant, until: believable }, options.ttl, options.renew ?? true);
    } catch (error) {
      if (!(error instanceof LockLost)) giveBack(transport, grant).catch(() => {});
      else if (until.left() > 0) continue;
      else throw new LockHeld(error.message, { cause: error });
      throw error;
    }
  }
}

async function ask(transport: Transport, name: string, options: LockOptions, wait: number): Promise<Grant> {
  const sent = Moment.now();
  const request = {
    wait: written(wait),
    ...(options.ttl === undefined ? {} : { ttl: written(options.ttl) }),
    ...(options.require === undefined ? {} : { require: options.require }),
    ...(options.note === undefined ? {} : { note: options.note }),
  };
  const path = `/v1/locks/${segment(name)}`;
  const reply = await transport.send({
    method: "POST", path, headers: JSON_TYPE, body: JSON.stringify(request), extra: wait, signal: options.signal,
  });
  const grant = JSON.parse(reply.text) as { holder: string; guarantee: Guarantee; mode: string; ttl_ms: number };
  const { holder, guarantee, mode, ttl_ms: ttl } = grant;
  return { name, holder, guarantee, mode, ttl, token: tokenOf(reply.text), until: believed(sent, ttl) };
}

/** Renews it; until when it may be believed now. */
async function renewal(
  transport: Transport, grant: Grant, ttl: Duration | undefined, timeout?: number, signal?: AbortSignal,
): Promise<Moment> {
  const sent = Moment.now();
  const lasts = ttl === undefined ? "" : `,"ttl":${JSON.stringify(written(ttl))}`;
  // Written by hand: a token may be larger than a number of JavaScript.
  const body = `{"holder":${JSON.stringify(grant.holder)},"token":${grant.token}${lasts}}`;
  const path = `/v1/locks/${segment(grant.name)}`;
  const limit = timeout === undefined ? {} : { timeout };
  const reply = await transport.send({ method: "PUT", path, headers: JSON_TYPE, body, signal, ...limit });
  return believed(sent, (JSON.parse(reply.text) as { ttl_ms: number }).ttl_ms);
}

async function giveBack(transport: Transport, grant: Grant): Promise<Released> {
  const path = `/v1/locks/${segment(grant.name)}?holder=${grant.holder}&token=${grant.token}`;
  try {
    await transport.send({ method: "DELETE", path });
    return "released";
  } catch (error) {
    if (error instanceof LockLost) return "lost";
    if (error instanceof MainstayError) return "unknown";
    throw error;
  }
}

const JSON_TYPE = { "content-type": "application/json" };

/** Our clock may run slower than the one that the server counted by. */
function believed(sent: Moment, ttl: number): Moment {
  return sent.plus(ttl * 0.99 - 2);
}

/** `JSON.parse` would round it: tokens have 64 bits. */
function tokenOf(body: string): bigint {
  const digits = /"token":\s*(\d+)/.exec(body)?.[1];
  if (digits === undefined) throw new MainstayError("the grant has no token", { kind: "protocol" });
  return BigInt(digits);
}
