/**
 * Server-sent events (WHATWG HTML §9.2): `message` with the summary of each new message, `dropped` with
 * the `{id}` of one that was dropped to make room, `deleted` with that of one that a user deleted,
 * `cleared`; `failure` with the summary of each new failure, `failuresCleared`; `traced` when more may be
 * known about messages and logins.
 */
import type { TraceEvent } from "../trace/tracer.ts";
import type { InboxEvent } from "./store.ts";

export type PageEvent = InboxEvent | TraceEvent;

/** Calls `listener` for each event, until the returned function is called. */
export type Subscribe = (listener: (event: PageEvent) => void) => () => void;

export interface EventStreamOptions {
  /** Milliseconds between comments, which show proxies and the sandbox whether the client is connected. */
  keepAlive: number;
  /** Ends the stream when aborted. */
  signals: readonly AbortSignal[];
  /** Called once when the stream ends, on either side. */
  onEnd: () => void;
}

/** Octets buffered for a client; a slower one is disconnected, and loads the list again. */
const MAX_QUEUE = 1024 * 1024;

/** The body of one client's `GET /api/events`. */
export function eventStream(
  subscribe: Subscribe,
  options: EventStreamOptions,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let end = () => {};

  return new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (text: string) => {
        if ((controller.desiredSize ?? 0) <= 0) return end();
        controller.enqueue(encoder.encode(text));
      };
      const unsubscribe = subscribe((event) => send(serialize(event)));
      const timer = setInterval(() => send(": still here\n\n"), options.keepAlive);
      let over = false;
      end = () => {
        if (over) return;
        over = true;
        unsubscribe();
        clearInterval(timer);
        for (const signal of options.signals) signal.removeEventListener("abort", end);
        try {
          controller.close();
        } catch {
          // The client has disconnected, which closed it.
        }
        options.onEnd();
      };
      for (const signal of options.signals) {
        if (signal.aborted) return end();
        signal.addEventListener("abort", end);
      }
      // Sent immediately, so that the client learns that it is connected.
      send("retry: 2000\n\n");
    },
    cancel: () => end(),
  }, new ByteLengthQueuingStrategy({ highWaterMark: MAX_QUEUE }));
}

/** JSON has no line breaks, so an event's data is always one line. */
function serialize(event: PageEvent): string {
  const data = "summary" in event ? event.summary : "id" in event ? { id: event.id } : {};
  return `event: ${event.type}\ndata: ${JSON.stringify(data)}\n\n`;
}
