// A connection as the connection limiter sees it.

/** Why a connection is closed. */
export type EvictionReason =
  /** It waited too long for a slot, cannot get one, or the queue is full. */
  | "full"
  /** It made no progress, and another connection needs its slot. */
  | "idle"
  /** Its address is at its limit, and stayed there while it waited. */
  | "address full"
  /** It made no progress, and its address is at its limit. */
  | "address idle"
  /** It has logged in, and its account or address has more than its share. */
  | "over share"
  /** It has had its last reply, or its client is gone, and another connection needs its slot. */
  | "retired";

/** Neither method may throw. */
export interface LimitedConnection {
  /** It has a slot, and begins with a greeting or TLS. */
  admit(): void;
  /** It must close, and no longer counts. */
  evict(reason: EvictionReason): void;
}
