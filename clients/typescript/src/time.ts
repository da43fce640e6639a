/** Times: durations as people write them, a clock that a suspended machine does not stop, pauses that can be ended. */

/** Milliseconds, or a text with a unit: `"250ms"`, `"30s"`, `"5m"`. */
export type Duration = number | string;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds. Throws a RangeError for what is neither. */
export function millis(duration: Duration): number {
  if (typeof duration === "number") {
    if (Number.isFinite(duration) && duration >= 0) return Math.round(duration);
  } else {
    const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration.trim());
    const unit = UNITS[parts?.[2] ?? ""];
    if (parts !== null && unit !== undefined) return Math.round(Number(parts[1]) * unit);
  }
  throw new RangeError(`a duration is milliseconds, or a text as in "250ms", "30s", "5m", not ${duration}`);
}

/** As Mainstay reads it. */
export function written(duration: Duration): string {
  return `${millis(duration)}ms`;
}

/**
 * A moment by two clocks. The monotonic clock of Node stands still while the machine is suspended, the wall clock may be
 * set: what is left until a moment is the lesser of what both say, so that neither makes it longer.
 */
export class Moment {
  private constructor(
    private readonly steady: number,
    private readonly wall: number,
  ) {}

  static now(): Moment {
    return new Moment(performance.now(), Date.now());
  }

  /** Milliseconds later. */
  plus(milliseconds: number): Moment {
    return new Moment(this.steady + milliseconds, this.wall + milliseconds);
  }

  /** Milliseconds from now until then; not above 0 when it is past. */
  left(): number {
    return Math.min(this.steady - performance.now(), this.wall - Date.now());
  }

  /** Milliseconds from then until now; by the clock that says more. */
  elapsed(): number {
    return -this.left();
  }
}

/** Waits. Ends early, without an error, with the signal. Keeps no process alive unless asked to. */
export function pause(milliseconds: number, signal?: AbortSignal, alive = false): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    if (!alive) unref(timer);
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** In Node a timer keeps the process alive unless it is told not to. */
export function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
}
