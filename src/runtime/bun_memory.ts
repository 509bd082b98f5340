// Garbage collection of mail on Bun. What a socket reads is in memory outside of the JavaScript heap,
// and so are long texts. The more of such memory is in use, the longer the collector waits: with 200 MB
// of mail in flight, until there are 200 MB of garbage too.

declare const Bun: {
  /** `false`: starts a collection without waiting for its end. */
  gc(force: boolean): number;
};

/** Octets of garbage after which to collect. */
const INTERVAL = 8 * 1024 * 1024;

let left = INTERVAL;

/** Reports that about so many octets are no longer needed, or soon will not be. */
export function garbage(octets: number): void {
  left -= octets;
  if (left > 0) return;
  left = INTERVAL;
  Bun.gc(false);
}
