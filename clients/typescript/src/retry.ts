/** Trying again, when and as long as it makes sense. */

import { Unavailable } from "./errors.js";
import { unavailable } from "./resp.js";
import { Moment, millis, pause, type Duration } from "./time.js";

/** How long to try. */
export interface RetryOptions {
  /** No attempt begins after that. Default 30 s. */
  readonly within?: Duration;
  /** Ends the pauses; its reason is thrown. */
  readonly signal?: AbortSignal;
}

/**
 * Tries again while nothing can serve, each time after the pause that the error asks for. A write whose outcome is unknown
 * is not repeated: that error comes out, and the caller reads before writing again. Takes errors of ioredis and node-redis
 * as well as those of this package.
 */
export async function retry<T>(work: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const until = Moment.now().plus(millis(options.within ?? 30_000));
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const refused = error instanceof Unavailable ? error : unavailable(error);
      // Up to a quarter more: those who were refused together need not come back together.
      const rest = (refused?.retryAfter ?? 0) * (1 + Math.random() / 4);
      if (refused === undefined || refused.effect === "unknown" || rest > until.left()) throw refused ?? error;
      await pause(rest, options.signal, true);
      if (options.signal?.aborted === true) throw options.signal.reason;
    }
  }
}
