// Memory on Bun: garbage collection of mail, and what a process at rest gives back.
//
// What a socket reads is in memory outside of the JavaScript heap, and so are long texts. The more of such
// memory is in use, the longer the collector waits: with 200 MB of mail in flight, until there are 200 MB of
// garbage too.
//
// After mail has passed, half of what the process has besides is code: what the JIT compiled, and what it
// knows of it. Bun keeps that for the next mail, which may come in a second or tomorrow.

import { GrowthWatch } from "./growth_watch.ts";
import { RestWatch } from "./rest_watch.ts";

declare const Bun: {
  /** `false`: collects what is new, without waiting for the end. */
  gc(force: boolean): number;
  /** Once no JavaScript runs: drops compiled code, collects, and gives memory back to the system. */
  shrink(): void;
};

/** Octets of garbage after which to collect. */
const INTERVAL = 8 * 1024 * 1024;
/** Characters of pages after which to collect, and milliseconds until the last of them is sent. */
const PAGES = 128 * 1024;
const SENT = 50;
/** Milliseconds after the start of the process until what only its start has needed is given back: 2 MiB. */
const STARTED = 500;
/** Milliseconds without octets after which compiled code is dropped, or up to twice as many. */
const REST = 60_000;

/** Further connections after which to collect. */
const CONNECTIONS = 128;

const started = setTimeout(() => Bun.shrink(), STARTED) as unknown as NodeJS.Timeout;
started.unref();

let left = INTERVAL;
const rest = new RestWatch({
  every(look) {
    const timer = setInterval(look, REST) as unknown as NodeJS.Timeout;
    timer.unref();
    return () => clearInterval(timer);
  },
  atRest: () => Bun.shrink(),
});

/** Reports that octets come or go: this is no time to drop code. */
export function inUse(): void {
  rest.active();
}

/** Reports that about so many octets are no longer needed, or soon will not be. */
export function garbage(octets: number): void {
  inUse();
  left -= octets;
  if (left <= 0) collect();
}

let pagesLeft = PAGES;

/**
 * Reports a page of so many characters, which is garbage once it is sent. A process at rest stays so: it may be asked
 * for its metrics each second, and Bun itself collects so seldom then that 3 MiB of pages were there.
 */
export function pageGarbage(characters: number): void {
  pagesLeft -= characters;
  if (pagesLeft > 0) return;
  pagesLeft = PAGES;
  const sent = setTimeout(collect, SENT) as unknown as NodeJS.Timeout;
  sent.unref();
}

function collect(): void {
  left = INTERVAL;
  pagesLeft = PAGES;
  Bun.gc(false);
}

/**
 * Connections to clients that are open at the same time. What a handshake and a login leave behind lies
 * between what the connection keeps until it ends: collected soon, it makes room for the next
 * connections. That took 2 to 3 KiB off an idle connection. It costs 20 µs of CPU for each further one, and
 * nothing while connections come and go.
 */
export const connections = new GrowthWatch({ step: CONNECTIONS, grown: () => Bun.gc(false) });
