// The status page over HTTP. The HTTP server in observe/http.ts has checked Host or password before.

import { type Context, Hono } from "hono";
import type { MessageState } from "../queue/store.ts";
import { statusEvents } from "./event_stream.ts";
import { isFromOwnPage } from "./own_page.ts";
import { STATUS_PAGE } from "./page.ts";
import { changeQueued, listQueue } from "./queue_list.ts";
import type { Status } from "./status.ts";
import { type ViewOptions, viewText } from "./views.ts";

export interface StatusRoutesOptions extends ViewOptions {
  /** The path of the page. */
  readonly home: string;
  /** Ends the event streams. */
  readonly signal: AbortSignal;
  /** Milliseconds between two events of an idle stream; 5 s when left out. */
  readonly idle?: number;
}

/** Pages that are open at once. */
const MAX_STREAMS = 50;
/** Octets of a request's body. */
const MAX_BODY = 1_000;
const STATES: readonly MessageState[] = ["queued", "sending", "held", "dead"];

export function statusRoutes(status: Status, options: StatusRoutesOptions): Hono {
  const { home, signal, idle } = options;
  const app = new Hono();
  let streams = 0;

  app.use(async (context, next) => {
    await next();
    for (const [name, value] of HEADERS) {
      if (!context.res.headers.has(name)) context.res.headers.set(name, value);
    }
  });

  app.get(
    home,
    (context) =>
      context.html(STATUS_PAGE.html, 200, { "Content-Security-Policy": STATUS_PAGE.policy }),
  );
  app.all(home, onlyMethods("GET, HEAD"));

  app.get(
    "/status/data",
    (context) =>
      context.body(viewText(status, 0, options), 200, { "Content-Type": "application/json" }),
  );
  app.all("/status/data", onlyMethods("GET, HEAD"));

  app.get("/status/events", (context) => {
    // The stream of a HEAD would never be read.
    if (context.req.method === "HEAD") return context.body(null);
    if (streams >= MAX_STREAMS) return context.json({ error: "too many pages are open" }, 503);
    streams++;
    return statusEvents(context, status, {
      view: (since) => viewText(status, since, options),
      signal,
      onEnd: () => streams--,
      idle,
    });
  });
  app.all("/status/events", onlyMethods("GET, HEAD"));

  app.get("/status/queue", async (context) => {
    const queue = status.live?.queue;
    if (queue === undefined) return noQueue(context);
    const asked = context.req.query("state")?.split(",");
    const states = STATES.filter((state) => asked?.includes(state) ?? true);
    try {
      return context.json(await listQueue(queue, new Set(states), options.remedy));
    } catch (error) {
      return failed(context, error);
    }
  });
  app.all("/status/queue", onlyMethods("GET, HEAD"));

  app.post("/status/queue/:action{retry|delete}", async (context) => {
    const { req } = context;
    if (!options.mayChange) {
      const error = "set HTTP_PASSWORD to change the queue here, or use the command: queue";
      return context.json({ error }, 403);
    }
    if (!isFromOwnPage(req.header("origin"), req.header("host"))) {
      return context.json({ error: "the request does not come from the relay's own page" }, 403);
    }
    const queue = status.live?.queue;
    if (queue === undefined) return noQueue(context);
    const id = await idIn(context);
    if (id === undefined) return context.json({ error: "no id of a message" }, 400);
    try {
      const action = req.param("action") as "retry" | "delete";
      const result = await changeQueued(queue, action, id);
      return context.json({ id, result }, result === "done" ? 200 : 409);
    } catch (error) {
      return failed(context, error);
    }
  });
  app.all("/status/queue/:action{retry|delete}", onlyMethods("POST"));

  return app;
}

/** The body is `{"id": "…"}`. */
async function idIn({ req }: Context): Promise<string | undefined> {
  // A form of another page cannot have this type.
  if (!/^application\/json\b/i.test(req.header("content-type") ?? "")) return undefined;
  if (!(Number(req.header("content-length")) <= MAX_BODY)) return undefined;
  try {
    const { id } = await req.json() as { id?: unknown };
    return typeof id === "string" && /^[\w-]{1,64}$/.test(id) ? id : undefined;
  } catch {
    return undefined;
  }
}

function noQueue(context: Context): Response {
  return context.json({ error: "the relay has no queue: DELIVERY_MODE is direct" }, 404);
}

function failed(context: Context, error: unknown): Response {
  return context.json({ error: error instanceof Error ? error.message : String(error) }, 503);
}

/** Defaults for every response: not cached, type not guessed, not embedded. */
const HEADERS = [
  ["Cache-Control", "no-store"],
  ["Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'"],
  ["Cross-Origin-Resource-Policy", "same-origin"],
  ["Referrer-Policy", "no-referrer"],
  ["X-Content-Type-Options", "nosniff"],
  ["X-Frame-Options", "DENY"],
] as const;

function onlyMethods(allow: string): (context: Context) => Response {
  return (context) =>
    context.json({ error: `${context.req.method} is not for this path` }, 405, { Allow: allow });
}
