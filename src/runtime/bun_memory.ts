// Garbage of mail on Bun. What a socket reads has memory outside of the JavaScript heap, and so have
// long texts; the collector waits the longer the more of such memory is in use: with 200 MB of mail in flight, until as
// much again has piled up.

declare const Bun: {
  /** `false`: begins a collection, and does not wait for its end. */
  gc(force: boolean): number;
};

/** Octets of such garbage after which it is collected. */
const INTERVAL = 8 * 1024 * 1024;

let left = INTERVAL;

/** So many octets are of no more use, most of them, or soon will be. */
export function garbage(octets: number): void {
  left -= octets;
  if (left > 0) return;
  left = INTERVAL;
  Bun.gc(false);
}
