// The HTTP server: health for probes, metrics, and the pages that are mounted on it.

import { type Context, Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { auth } from "hono/utils/basic-auth";
import { nativeHttpServer } from "../runtime/current.ts";
import type { HttpBound, HttpPeer, HttpServerOptions } from "../runtime/http_server.ts";
import type { Secret } from "../secret.ts";
import type { ListenAddress } from "../settings/listen_address.ts";
import { isLoopbackAddress, isOwnHost } from "./host_guard.ts";
import type { Metrics } from "./metrics.ts";
import { PasswordGuard, type PasswordGuardOptions } from "./password_guard.ts";

/** The state of each part, for `/readyz`: ready if all are. */
export type Readiness = () => Readonly<Record<string, PartState>>;

export interface PartState {
  readonly ready: boolean;
  readonly [detail: string]: unknown;
}

export interface HttpOptions {
  readonly listen: ListenAddress;
  /** Sockets that listen already, one at least; they replace `listen`. */
  readonly sockets?: readonly OpenSocket[] | undefined;
  /** Shown by `/metrics`. */
  readonly metrics?: Metrics;
  /** Told the length of each page of `/metrics`, which is garbage once it is sent. */
  readonly garbage?: ((characters: number) => void) | undefined;
  /** Required by everything but `/healthz` and `/readyz`. */
  readonly password?: Secret | undefined;
  readonly guard?: PasswordGuardOptions;
  /** Names in Host that are accepted on the loopback, besides its own and that of `listen`. */
  readonly names?: readonly string[];
  /** Pages break connections on purpose: they get the response object of `node:http` too. */
  readonly breaking?: boolean | undefined;
}

/** A listening socket opened by another process, and its address. */
export interface OpenSocket extends ListenAddress {
  readonly descriptor: number;
}

export interface HttpService {
  /** All addresses as bound, one at least. */
  readonly addresses: readonly ListenAddress[];
  /**
   * Adds pages. If several have the same path, the first one responds.
   *
   * @param unlocked path prefixes that need no password, and check Host by themselves
   */
  mount(pages: Hono, unlocked?: readonly string[]): void;
  /** Sets what `/readyz` reports. Before the first call the relay is not ready. */
  reportReadiness(readiness: Readiness): void;
  close(): Promise<void>;
}

/** @throws Error with a `code` such as `EADDRINUSE` */
export async function serveHttp(options: HttpOptions): Promise<HttpService> {
  const site = new Site(options);
  const bound = await bind(options, {
    ...options.listen,
    withoutHost: "localhost",
    respond: (request, peer) => site.fetch(request, peer),
  });
  // On the loopback, only this machine can ask.
  site.onLoopback = bound.addresses.every(({ hostname }) => isLoopbackAddress(hostname));
  return {
    addresses: bound.addresses,
    mount: (pages, unlocked = []) => site.mount(pages, unlocked),
    reportReadiness: (readiness) => site.readiness = readiness,
    close: bound.close,
  };
}

/** By the runtime's own server, unless only that of `node:http` will do. */
async function bind(
  { sockets = [], breaking = false }: HttpOptions,
  options: HttpServerOptions,
): Promise<HttpBound> {
  const serve = sockets.length > 0 || breaking ? undefined : await nativeHttpServer();
  if (serve !== undefined) return serve(options);
  return await (await import("./node_server.ts")).serveByNode(options, sockets);
}

const STARTING: Readiness = () => ({ smtp: { ready: false } });

/** The routes of the server. */
class Site {
  readiness = STARTING;
  /** Until the server is bound, as strict as on the loopback. */
  onLoopback = true;
  readonly #app = new Hono();
  readonly #pages: Hono[] = [];
  /** All of them together. */
  #routes = new Hono();
  readonly #unlocked: string[] = [];
  readonly #guard: PasswordGuard | undefined;
  /** What was found of the password of a request that is under way. */
  readonly #checked = new WeakMap<Request, ReturnType<PasswordGuard["check"]>>();

  constructor(options: HttpOptions) {
    const { metrics, password, listen } = options;
    this.#guard = password && new PasswordGuard(password, options.guard);
    const names = [listen.hostname, ...(options.names ?? [])];
    const app = this.#app;
    app.get("/healthz", (context) => context.text("ok\n"));
    app.use((context, next) => {
      const { req } = context;
      // Probes may speak HTTP/1.0, which needs no Host (RFC 9112 §3.2); from HTTP/1.1 on, the runtime
      // has refused a request without one.
      if (!req.header("host") && req.path !== "/readyz") {
        return Promise.resolve(context.body(null, 400));
      }
      // Off the loopback, the password keeps other web sites out.
      const own = !this.onLoopback || isOwnHost(req.header("host"), names) ||
        this.#isUnlocked(req.path);
      if (own || this.#hasPassword(context)) return next();
      const error = "this Host is not the relay's: use localhost, an address or SERVER_HOSTNAME";
      return Promise.resolve(context.json({ error }, 403));
    });
    app.get("/readyz", (context) => this.#readyz(context));
    if (password !== undefined) {
      const lock = basicAuth({
        verifyUser: (_user, _password, context) => this.#hasPassword(context),
        realm: "smtp-oauth-relay",
      });
      app.use((context, next) => {
        if (this.#isUnlocked(context.req.path)) return next();
        if (this.#check(context) !== "limited") return lock(context, next);
        const error = "too many wrong passwords: wait a minute";
        return Promise.resolve(context.json({ error }, 429, { "Retry-After": "60" }));
      });
    }
    if (metrics !== undefined) {
      app.get("/metrics", (context) => {
        context.header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
        const text = metrics.text();
        options.garbage?.(text.length);
        return context.body(text);
      });
    }
    app.all("*", ({ req, env }) => this.#routes.fetch(req.raw, env));
  }

  get fetch(): Hono["fetch"] {
    return this.#app.fetch;
  }

  mount(pages: Hono, unlocked: readonly string[]): void {
    this.#pages.push(pages);
    // A router takes no more routes after its first request: each mount gets a new one.
    this.#routes = new Hono();
    for (const mounted of this.#pages) this.#routes.route("/", mounted);
    this.#unlocked.push(...unlocked);
  }

  #readyz(context: Context): Response {
    const parts = this.readiness();
    const ready = Object.values(parts).every((part) => part.ready);
    const shown = this.onLoopback || this.#hasPassword(context) ? parts : statesOf(parts);
    return context.json({ ready, parts: shown }, ready ? 200 : 503);
  }

  #isUnlocked(path: string): boolean {
    return this.#unlocked.some((prefix) => path.startsWith(prefix));
  }

  #hasPassword(context: Context): boolean {
    return this.#check(context) === "right";
  }

  /** Any user name is accepted. */
  #check({ req: { raw }, env }: Context): ReturnType<PasswordGuard["check"]> | undefined {
    const given = auth(raw);
    if (this.#guard === undefined || given === undefined) return undefined;
    let found = this.#checked.get(raw);
    if (found === undefined) {
      const peer = env as Partial<HttpPeer>;
      found = this.#guard.check(given.password, peer.clientAddress?.() ?? "");
      this.#checked.set(raw, found);
    }
    return found;
  }
}

/** The states without details: probes need no more, and have no password. */
function statesOf(parts: ReturnType<Readiness>): Record<string, PartState> {
  return Object.fromEntries(Object.entries(parts).map(([name, { ready }]) => [name, { ready }]));
}
