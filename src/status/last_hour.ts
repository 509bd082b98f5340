// Throughput and latency of the last hour, a bucket for each minute.

import type { HourView } from "./view.ts";

const MINUTE = 60_000;
const MINUTES = 60;
/** The upper bounds of latency that are told apart, in milliseconds. */
const BOUNDS = [10, 25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 60_000, 300_000];

interface Bucket {
  /** Minutes of Unix time. */
  minute: number;
  accepted: number;
  failed: number;
  /** Messages by latency; the last one is over all bounds. */
  readonly latencies: Uint32Array;
}

export class LastHour {
  /** A ring, by the minute's remainder; made with the first message of each. */
  readonly #buckets: (Bucket | undefined)[] = [];

  /**
   * @param at milliseconds of Unix time
   * @param milliseconds that the message took
   */
  add(at: number, accepted: boolean, milliseconds: number): void {
    const bucket = this.#bucket(Math.floor(at / MINUTE));
    if (accepted) bucket.accepted++;
    else bucket.failed++;
    let place = 0;
    while (place < BOUNDS.length && milliseconds > BOUNDS[place]!) place++;
    bucket.latencies[place]!++;
  }

  view(now: number): HourView {
    const last = Math.floor(now / MINUTE);
    const buckets = Array.from({ length: MINUTES }, (_, at) => {
      const minute = last - MINUTES + 1 + at;
      const bucket = this.#buckets[minute % MINUTES];
      return bucket?.minute === minute ? bucket : undefined;
    });
    return {
      from: (last - MINUTES + 1) * MINUTE,
      accepted: buckets.map((bucket) => bucket?.accepted ?? 0),
      failed: buckets.map((bucket) => bucket?.failed ?? 0),
      median: buckets.map((bucket) => bucket === undefined ? null : quantile(bucket, 0.5)),
      slow: buckets.map((bucket) => bucket === undefined ? null : quantile(bucket, 0.95)),
    };
  }

  #bucket(minute: number): Bucket {
    const found = this.#buckets[minute % MINUTES];
    if (found?.minute === minute) return found;
    const latencies = found?.latencies ?? new Uint32Array(BOUNDS.length + 1);
    latencies.fill(0);
    const made = { minute, accepted: 0, failed: 0, latencies };
    this.#buckets[minute % MINUTES] = made;
    return made;
  }
}

/** Between the two bounds, as if the messages in between were evenly spread. */
function quantile({ accepted, failed, latencies }: Bucket, part: number): number | null {
  const wanted = (accepted + failed) * part;
  let before = 0;
  for (const [place, count] of latencies.entries()) {
    if (count > 0 && before + count >= wanted) {
      const low = place === 0 ? 0 : BOUNDS[place - 1]!;
      const high = BOUNDS[place] ?? low;
      return Math.round(low + (high - low) * (wanted - before) / count);
    }
    before += count;
  }
  return null;
}
