/** What can go wrong, by type. */

/** Whether a write that failed may have been applied all the same. */
export type Effect = "none" | "unknown";

/** Why one backend did not serve. */
export interface Cause {
  readonly backend?: string;
  readonly kind: string;
  readonly detail: string;
}

/** What is known about an error beside its text. */
export interface ErrorDetails {
  /** A word for programs that does not change, as in `invalid_argument`. */
  readonly kind?: string;
  /** The HTTP status, where there was an answer. */
  readonly status?: number;
  /** What to do about it, for people. */
  readonly hint?: string;
  /** Default `none`. */
  readonly effect?: Effect;
  readonly backend?: string;
  readonly causes?: readonly Cause[];
  /** Milliseconds. */
  readonly retryAfter?: number;
  readonly cause?: unknown;
}

/** How long to wait where nobody said how long: milliseconds. */
export const RETRY_AFTER = 1000;

/** Everything that this package throws by itself. */
export class MainstayError extends Error {
  /** A word for programs that does not change, as in `invalid_argument`. */
  readonly kind: string;
  /** The HTTP status, where there was an answer. */
  readonly status: number | undefined;
  /** What to do about it, for people. */
  readonly hint: string | undefined;
  /** `none`: a write was certainly not applied. `unknown`: it may have been; read before writing again. */
  readonly effect: Effect;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.kind = details.kind ?? "error";
    this.status = details.status;
    this.hint = details.hint;
    this.effect = details.effect ?? "none";
  }
}

/** Nothing can serve this now: a backend is down, the deadline passed, or Mainstay itself cannot be reached. */
export class Unavailable extends MainstayError {
  /** When it is worth trying again, in milliseconds. */
  readonly retryAfter: number;
  /** The backend that it came from. */
  readonly backend: string | undefined;
  /** The reason of each backend. */
  readonly causes: readonly Cause[];

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { kind: "unavailable", ...details });
    this.retryAfter = details.retryAfter ?? RETRY_AFTER;
    this.backend = details.backend;
    this.causes = details.causes ?? [];
  }
}

/** What is there now does not allow it: another version, another type, a key that exists already. */
export class Conflict extends MainstayError {}

/** Somebody else holds the lock, and went on holding it for as long as one was ready to wait. */
export class LockHeld extends Conflict {
  /** For how long its lease lasts yet, in milliseconds, unless it is renewed or released; undefined: not known. */
  readonly retryAfter: number | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { kind: "lock_held", ...details });
    this.retryAfter = details.retryAfter;
  }
}

/** The lock's lease has ended: somebody else may hold it. Stop, and begin with what is there now. */
export class LockLost extends MainstayError {}

/** The answer to a request, made into an error. */
export function problemOf(status: number, body: string): MainstayError {
  const problem = parse(body);
  const kind = (problem.type ?? "").split(":").pop() || `http_${status}`;
  const details: ErrorDetails = {
    kind,
    status,
    effect: problem.effect === "unknown" ? "unknown" : "none",
    ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    ...(problem.backend === undefined ? {} : { backend: problem.backend }),
    ...(problem.causes === undefined ? {} : { causes: problem.causes }),
    ...(problem.retry_after_ms === undefined ? {} : { retryAfter: problem.retry_after_ms }),
  };
  const message = problem.detail ?? problem.title ?? `HTTP ${status}`;
  if (kind === "lock_held") return new LockHeld(message, details);
  if (kind === "lock_lost" || kind === "fenced") return new LockLost(message, details);
  if (status === 409 || status === 412) return new Conflict(message, details);
  if (status === 503 || status === 504) return new Unavailable(message, details);
  return new MainstayError(message, details);
}

interface Problem {
  readonly type?: string;
  readonly title?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly backend?: string;
  readonly effect?: string;
  readonly retry_after_ms?: number;
  readonly causes?: readonly Cause[];
}

/** Something between us and Mainstay may answer with anything. */
function parse(body: string): Problem {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === "object" && parsed !== null ? (parsed as Problem) : {};
  } catch {
    return {};
  }
}
