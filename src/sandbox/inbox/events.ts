/**
 * The inbox as server-sent events (WHATWG HTML §9.2): `message` with the summary of each new one,
 * `dropped` with `{id}` of one that had to make room, `cleared`.
 */
import type { Inbox, InboxEvent } from "./store.ts";

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
export function eventStream(inbox: Inbox, options: EventStreamOptions): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let end = () => {};

  return new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (text: string) => {
        if ((controller.desiredSize ?? 0) <= 0) return end();
        controller.enqueue(encoder.encode(text));
      };
      const unsubscribe = inbox.subscribe((event) => send(serialize(event)));
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
function serialize(event: InboxEvent): string {
  switch (event.type) {
    case "message":
      return `event: message\ndata: ${JSON.stringify(event.summary)}\n\n`;
    case "dropped":
      return `event: dropped\ndata: ${JSON.stringify({ id: event.id })}\n\n`;
    case "cleared":
      return "event: cleared\ndata: {}\n\n";
  }
}
