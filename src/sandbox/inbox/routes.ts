/**
 * The inbox over HTTP: the page and its API. Only its own page and programs may use it (guard.ts), and no
 * content of a message is served as something that a browser would run.
 */
import { type Context, Hono } from "hono";
import { faultRoutes } from "../fault_routes.ts";
import type { Faults } from "../faults.ts";
import { NO_TRACE } from "../trace/trace.ts";
import type { Tracer } from "../trace/tracer.ts";
import { eventStream, type Subscribe } from "./events.ts";
import type { SandboxDevice } from "../devices.ts";
import { ownSiteOnly } from "./guard.ts";
import { PAGE, PAGE_POLICY } from "./page.ts";
import { contentDisposition, htmlDocument, htmlPolicy, safeType } from "./parts.ts";
import type { Inbox } from "./store.ts";

/** How to reach the relay; the page shows it for copying. */
export interface ConnectionDetails {
  /** `host:port`, STARTTLS. */
  smtp: string;
  /** `host:port`, TLS from the first byte. */
  smtps?: string;
  username: string;
  password: string;
  /** Devices with passwords of their own. */
  devices: readonly SandboxDevice[];
  /** A command line that sends a message. */
  command: string;
}

export interface InboxRoutesOptions {
  connection: ConnectionDetails;
  /** Hosts, besides localhost, 127.0.0.1 and [::1], under which the inbox can be opened. */
  allowedHosts?: readonly string[];
  /** Milliseconds between comments on an idle event stream; 15,000 when left out. */
  keepAlive?: number;
  /** The scripted faults; without them, there is no `/api/faults`. */
  faults?: Faults;
  /** Records failures and traces messages; without it, the page shows neither. */
  tracer?: Pick<Tracer, "failures" | "subscribe">;
  /** Ends the event streams when aborted; otherwise they would delay the server's stop. */
  signal?: AbortSignal;
}

/** Concurrent clients of `GET /api/events`. */
const MAX_STREAMS = 100;

/**
 * The routes `/` and `/api/*`, to be mounted at the root beside others: the checks apply to these paths
 * only.
 *
 * @throws TypeError if one of `allowedHosts` is not a valid host.
 *
 * @example
 * app.route("/", inboxRoutes(inbox, { connection }));
 */
export function inboxRoutes(inbox: Inbox, options: InboxRoutesOptions): Hono {
  const { connection, allowedHosts, faults, tracer } = options;
  const app = new Hono();
  const guard = ownSiteOnly(allowedHosts);

  for (const path of ["/", "/api/*"]) {
    app.use(path, async (c, next) => {
      await next();
      for (const [name, value] of COMMON_HEADERS) {
        if (!c.res.headers.has(name)) c.res.headers.set(name, value);
      }
    }, guard);
  }

  app.get("/", (c) => c.html(PAGE, 200, { "Content-Security-Policy": PAGE_POLICY }));
  app.all("/", onlyMethods("GET, HEAD"));

  app.get("/api/connection", (c) => {
    const { smtp, smtps, username, password, devices, command } = connection;
    return c.json({ smtp, smtps, username, password, devices, command });
  });
  app.all("/api/connection", onlyMethods("GET, HEAD"));

  app.route("/api/events", eventRoutes(inbox, options));
  app.route("/api/messages", messageRoutes(inbox));
  app.route("/api/failures", failureRoutes(tracer));
  if (faults !== undefined) app.route("/api/faults", faultRoutes(faults));

  app.all("/api/*", (c) => c.json({ error: "no such path" }, 404));
  return app;
}

/** `/api/events`. */
function eventRoutes(
  inbox: Inbox,
  { keepAlive = 15_000, signal, tracer }: InboxRoutesOptions,
): Hono {
  const app = new Hono();
  const subscribe: Subscribe = (listener) => {
    const unsubscribe = [inbox.subscribe(listener), tracer?.subscribe(listener)];
    return () => unsubscribe.forEach((end) => end?.());
  };
  let streams = 0;

  app.get("/", (c) => {
    const headers = { "Content-Type": "text/event-stream", "X-Accel-Buffering": "no" };
    // The stream of a HEAD would never be read or ended.
    if (c.req.method === "HEAD") return c.body(null, 200, headers);
    if (streams >= MAX_STREAMS) return c.json({ error: "too many event streams" }, 503);
    streams++;
    const signals = signal === undefined ? [c.req.raw.signal] : [c.req.raw.signal, signal];
    const stream = eventStream(subscribe, { keepAlive, signals, onEnd: () => streams-- });
    return c.body(stream, 200, headers);
  });
  app.all("/", onlyMethods("GET, HEAD"));
  return app;
}

/** `/api/messages` and the parts of each message. */
function messageRoutes(inbox: Inbox): Hono {
  const app = new Hono();

  app.get("/", (c) => c.json(inbox.list()));
  app.delete("/", (c) => {
    inbox.clear();
    return c.body(null, 204);
  });
  app.all("/", onlyMethods("GET, HEAD, DELETE"));

  app.get("/:id", async (c) => {
    const message = inbox.get(c.req.param("id"));
    const content = await inbox.content(c.req.param("id"));
    if (message === undefined || content === undefined) return noMessage(c);
    const { summary, mailbox, recipients } = message;
    const attachments = content.attachments.map(({ chunks: _, ...part }) => part);
    return c.json({ ...summary, mailbox, recipients, ...content, attachments });
  });
  app.delete("/:id", (c) => {
    return inbox.delete(c.req.param("id")) ? c.body(null, 204) : noMessage(c);
  });
  app.all("/:id", onlyMethods("GET, HEAD, DELETE"));

  app.get("/:id/trace", (c) => {
    const message = inbox.get(c.req.param("id"));
    return message === undefined ? noMessage(c) : c.json(message.trace?.show() ?? NO_TRACE);
  });
  app.all("/:id/trace", onlyMethods("GET, HEAD"));

  app.get("/:id/raw", (c) => {
    const message = inbox.get(c.req.param("id"));
    if (message === undefined) return noMessage(c);
    return c.body(message.raw, 200, {
      "Content-Type": "message/rfc822",
      "Content-Disposition": `attachment; filename="${message.summary.id}.eml"`,
    });
  });
  app.all("/:id/raw", onlyMethods("GET, HEAD"));

  app.get("/:id/html", async (c) => {
    const content = await inbox.content(c.req.param("id"));
    if (content === undefined) return noMessage(c);
    if (content.html === null) return c.json({ error: "the message has no HTML part" }, 404);
    const remoteImages = c.req.query("images") === "remote";
    return c.html(htmlDocument(content.html, content.attachments, remoteImages), 200, {
      "Content-Security-Policy": htmlPolicy(remoteImages),
      "X-Frame-Options": "SAMEORIGIN",
    });
  });
  app.all("/:id/html", onlyMethods("GET, HEAD"));

  app.get("/:id/attachments/:index", async (c) => {
    const content = await inbox.content(c.req.param("id"));
    if (content === undefined) return noMessage(c);
    const index = c.req.param("index");
    const part = /^\d{1,4}$/.test(index) ? content.attachments[Number(index)] : undefined;
    if (part === undefined) return c.json({ error: "no such attachment" }, 404);
    return c.body(streamOf(part.chunks), 200, {
      "Content-Type": safeType(part),
      "Content-Length": String(part.size),
      "Content-Disposition": contentDisposition(part),
    });
  });
  app.all("/:id/attachments/:index", onlyMethods("GET, HEAD"));

  return app;
}

/** `/api/failures`: the messages and logins that failed. */
function failureRoutes(tracer: InboxRoutesOptions["tracer"]): Hono {
  const app = new Hono();

  app.get("/", (c) => c.json(tracer?.failures.list() ?? []));
  app.delete("/", (c) => {
    tracer?.failures.clear();
    return c.body(null, 204);
  });
  app.all("/", onlyMethods("GET, HEAD, DELETE"));

  app.get("/:id", (c) => {
    const failure = tracer?.failures.get(c.req.param("id"));
    if (failure === undefined) return c.json({ error: "no such failure" }, 404);
    return c.json({ ...failure.summary, trace: failure.trace.show() });
  });
  app.all("/:id", onlyMethods("GET, HEAD"));

  return app;
}

/** Serves one block after another, so that a large file is not copied as a whole. */
function streamOf(chunks: readonly Uint8Array<ArrayBuffer>[]): ReadableStream {
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      const chunk = chunks[next++];
      if (chunk === undefined) controller.close();
      else if (chunk.length > 0) controller.enqueue(chunk);
      else return this.pull?.(controller);
    },
  }, { highWaterMark: 0 });
}

/** Defaults for every response: not cached, type not guessed, not embedded. */
const COMMON_HEADERS = [
  ["Cache-Control", "no-store"],
  ["Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'"],
  ["Cross-Origin-Resource-Policy", "same-origin"],
  ["Referrer-Policy", "no-referrer"],
  ["X-Content-Type-Options", "nosniff"],
  // Browsers resolve the hosts of links in advance, which a message's sender could observe.
  ["X-DNS-Prefetch-Control", "off"],
  ["X-Frame-Options", "DENY"],
] as const;

function onlyMethods(allow: string): (c: Context) => Response {
  return (c) => c.json({ error: `${c.req.method} is not for this path` }, 405, { Allow: allow });
}

function noMessage(c: Context): Response {
  return c.json({ error: "no such message" }, 404);
}
