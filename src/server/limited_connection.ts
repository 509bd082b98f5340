// A connection as the connection limiter sees it.

/** Why a connection is closed. */
export type EvictionReason =
  /** It waited too long for a slot, or cannot get one, or the queue is full. */
  | "full"
  /** It made no progress, and another connection needs its slot. */
  | "makes room"
  /** Its address is at its limit, and stayed there while it waited. */
  | "crowded"
  /** It made no progress, and its address is at its limit. */
  | "gives way"
  /** It has logged in, and its account or address has more than its share. */
  | "over share"
  /** It has had its last reply, or its client is gone, and another connection needs its slot. */
  | "retired";

/** Neither method may throw. */
export interface LimitedConnection {
  /** It has a slot, and may begin: by a greeting, or TLS. */
  admit(): void;
  /** It must close. It no longer counts. */
  evict(reason: EvictionReason): void;
}
