// The state of the relay as server-sent events (WHATWG HTML §9.2): at first the whole, then what has
// changed. Without a page that listens, nothing is computed and nothing is kept.

import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import type { Status } from "./status.ts";

/** Milliseconds from a change until pages are told, so that many changes are told together. */
const DELAY = 250;
/**
 * Milliseconds until a page is told how the relay is although nothing has changed. Shows proxies that
 * the stream is alive, and the relay that the page has gone.
 */
const IDLE = 5_000;

export interface EventStreamOptions {
  /** A `StatusView` as JSON. @param since the version that the page has; 0 for none */
  view(since: number): string;
  /** Ends the stream. */
  readonly signal: AbortSignal;
  /** Called once when the stream has ended. */
  onEnd(): void;
  readonly idle?: number | undefined;
}

/**
 * The response. An event's id names this process and the version, so that a page that comes back is
 * told only what it has missed.
 */
export function statusEvents(
  context: Context,
  status: Status,
  { view, signal, onEnd, idle = IDLE }: EventStreamOptions,
): Response {
  const boot = String(status.startedAt);
  const [, last = "0"] = new RegExp(`^${boot}\\.(\\d{1,15})$`).exec(
    context.req.header("last-event-id") ?? "",
  ) ?? [];
  let since = Math.min(Number(last), status.version);
  context.header("X-Accel-Buffering", "no");
  return streamSSE(context, async (stream) => {
    let wake = () => {};
    const ended = () => stream.aborted || stream.closed || signal.aborted;
    const wakeUp = () => wake();
    const unsubscribe = status.subscribe(wakeUp);
    const { promise: gone, resolve: end } = Promise.withResolvers<void>();
    void gone.then(wakeUp);
    stream.onAbort(end);
    const stopped = () => end();
    signal.addEventListener("abort", stopped);
    const wait = (time: number, changes: boolean) =>
      new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, time);
        wake = () => {
          if (!ended() && !(changes && status.version > since)) return;
          clearTimeout(timer);
          resolve();
        };
        wake();
      });
    try {
      while (!ended()) {
        const { version } = status;
        // JSON has no line ends.
        const event = `event: status\ndata: ${
          view(since)
        }\nid: ${boot}.${version}\nretry: 2000\n\n`;
        since = version;
        // Resolves when the client has room for more: a slow one is told less often.
        await Promise.race([stream.write(event), gone]);
        await wait(DELAY, false);
        if (status.version === since) await wait(idle - DELAY, true);
      }
    } finally {
      unsubscribe();
      // It outlives the stream by far.
      signal.removeEventListener("abort", stopped);
      end();
      onEnd();
    }
  });
}
