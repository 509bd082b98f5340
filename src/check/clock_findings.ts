// This machine's clock against those of the services: their Date fields (RFC 9110 §6.6.1).

import { type Finding, finding } from "./finding.ts";

export interface ClockReading {
  readonly host: string;
  /** Milliseconds since 1970, to the second. */
  readonly theirs: number;
  /** This machine's, when the response had arrived. */
  readonly ours: number;
  /** Milliseconds from request to response: the service's clock was read in between. */
  readonly took: number;
}

const DOUBTFUL_MS = 60_000;
const WRONG_MS = 300_000;

export function judgeClock(readings: readonly ClockReading[]): Finding {
  if (readings.length === 0) {
    return finding("clock.unknown", "no service answered whose clock could be compared");
  }
  // A service's clock is seldom wrong. If one is, the other service's reading is the smaller skew.
  const [least] = readings.map((reading) => ({ reading, skew: skewOf(reading) }))
    .sort((a, b) => Math.abs(a.skew) - Math.abs(b.skew));
  const { reading, skew } = least!;
  const seconds = Math.round(Math.abs(skew) / 1000);
  const far = `${duration(seconds)} ${skew < 0 ? "behind" : "ahead of"} ${reading.host}`;
  if (Math.abs(skew) > WRONG_MS) return finding("clock.wrong", far);
  if (Math.abs(skew) > DOUBTFUL_MS) return finding("clock.off", far);
  return finding("clock.ok", `agrees with ${reading.host} within a minute`);
}

/** Milliseconds that this clock is ahead for certain: the time of the response may explain the rest. */
function skewOf({ theirs, ours, took }: ClockReading): number {
  // The Date field has whole seconds: up to 1000 ms may be missing.
  const most = ours - theirs;
  const least = most - took - 1000;
  if (least > 0) return least;
  return most < 0 ? most : 0;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
