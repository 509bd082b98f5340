// Whether a message may be sent, by what its blob says: so that a relay and an
// administrator's command do not change the same message.

import type { BlobEntry } from "./message_blob.ts";

/**
 * An administrator's command changes a message only while no relay is at it, and cannot see a pointer that is
 * hidden. So a relay begins to send only what it has seen unchanged within the first of these times, and
 * writes `sending` to the blob when the second has passed without a result; a command says first that it
 * is about to change the message, and waits for longer than both (`SETTLE` in administration.ts). A message
 * that is sent at once costs no request for this.
 */
export const SEEN = 5000;
export const MARK = 4000;
/** Milliseconds after which a command that said so has ended, or died; the clocks may differ. */
export const CHANGE_OVER = 180_000;
/** Seconds that a message stays hidden whose change is under way. */
export const CHANGE_PAUSE = 20;

/** The code of a message whose pointer seems to be lost. It lives on if the pointer turns up. */
export const ORPHAN = "ORPHAN";

/**
 * What to do with a message, by what its blob says.
 *
 * @param generation of the pointer
 * @param date milliseconds of Unix time
 * @returns `stale`: the pointer is left over; `later`: it is being changed by a command
 */
export function judge(
  entry: BlobEntry | undefined,
  generation: number,
  date: number,
): "send" | "stale" | "later" {
  if (entry === undefined || entry.generation > generation) return "stale";
  if (entry.generation < generation) return "later";
  // A pointer that was thought to be lost.
  const orphan = entry.state === "dead" && entry.code === ORPHAN;
  if ((entry.state === "held" || entry.state === "dead") && !orphan) return "stale";
  return Math.abs(date - entry.changing) < CHANGE_OVER ? "later" : "send";
}
