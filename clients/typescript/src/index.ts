/** Client of Mainstay: values with where they came from, fenced locks that renew themselves, health for your service. */

export { Mainstay, type CallOptions, type DeleteOptions, type Key, type SetOptions } from "./client.js";
export { Entry, type Ack, type Journaled, type Stored, type Worth } from "./entry.js";
export { Conflict, LockHeld, LockLost, MainstayError, Unavailable, type Cause, type Effect, type ErrorDetails } from "./errors.js";
export { Health, type BackendHealth, type FastifyReply, type HealthOptions, type NodeResponse, type StorageHealth, type WithStorage } from "./health.js";
export type { ClientOptions } from "./http.js";
export { Lock, type Guarantee, type LockOptions, type Released } from "./lock.js";
export { meta, unavailable, type KeyMeta, type RespClient } from "./resp.js";
export { retry, type RetryOptions } from "./retry.js";
export type { Duration } from "./time.js";
