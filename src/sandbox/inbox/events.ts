/**
 * What happens, as server-sent events (WHATWG HTML §9.2): `message` with the summary of each new one,
 * `dropped` with `{id}` of one that had to make room, `deleted` with that of one that was taken out,
 * `cleared`; `failure` with the summary of each new one, `failuresCleared`; `traced` when there may be
 * more to tell of how messages and logins went.
 */
import type { TraceEvent } from "../trace/tracer.ts";
import type { InboxEvent } from "./store.ts";

export type PageEvent = InboxEvent | TraceEvent;

/** Calls `listener` for each event, until the returned function is called. */
export type Subscribe = (listener: (event: PageEvent) => void) => () => void;

export interface EventStreamOptions {
  /** Milliseconds between the comments that show a proxy, and us, whether the client still lives. */
  keepAlive: number;
  /** Ends the stream when aborted. */
  signals: readonly AbortSignal[];
  /** Called once when the stream is over, whoever ended it. */
  onEnd: () => void;
}

/** Octets that may wait for a client; a slower one is cut off, and reads the list anew. */
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
          // The client went first, which closed it.
        }
        options.onEnd();
      };
      for (const signal of options.signals) {
        if (signal.aborted) return end();
        signal.addEventListener("abort", end);
      }
      // Something to send at once, or the client would not learn that it is connected.
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
