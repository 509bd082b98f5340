/** The whole sandbox in this process: relay, imitated services, inbox and its pages. */
import { type Relay, startRelay } from "../../src/relay/relay.ts";
import { serveHttp } from "../../src/observe/http.ts";
import { createLog } from "./log.ts";
import { type Cloud, createCloud } from "../../src/sandbox/cloud.ts";
import { inboxRoutes } from "../../src/sandbox/inbox/routes.ts";
import { Inbox } from "../../src/sandbox/inbox/store.ts";
import { SandboxTable } from "../../src/sandbox/imitated_table.ts";
import { Tracer } from "../../src/sandbox/trace/tracer.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";
import { openStatusPage } from "../../src/commands/status_page.ts";
import type { Status } from "../../src/status/status.ts";
import { goodSettings } from "./settings.ts";

export const USERNAME = "11111111-1111-1111-1111-111111111111@22222222-2222-2222-2222-222222222222";
export const SECRET = "any-secret";

export interface Sandbox {
  readonly relay: Relay;
  readonly cloud: Cloud;
  readonly inbox: Inbox;
  readonly tracer: Tracer;
  readonly status: Status;
  /** Of the page, with a slash at the end. */
  readonly url: string;
  /** The JSON of a page of the API, such as `messages`. */
  api(path: string): Promise<unknown>;
  /** A connection that has been greeted, and has said EHLO. */
  connect(): Promise<SmtpClient>;
  /** A connection that has logged in. */
  logIn(password?: string, username?: string): Promise<SmtpClient>;
  stop(): Promise<void>;
}

/** Starts it on free ports of the loopback, without TLS. @param environment further settings */
export async function openSandbox(environment: Record<string, string> = {}): Promise<Sandbox> {
  const variables = {
    SMTP_LISTEN: "127.0.0.1:0",
    HTTP_LISTEN: "127.0.0.1:0",
    TLS_SOURCE: "off",
    REQUIRE_TLS: "false",
    LOG_LEVEL: "CRITICAL",
    ...environment,
  };
  const { settings, given } = goodSettings(variables, {}, true);
  const inbox = new Inbox();
  const tracer = new Tracer(settings.USERNAME_DELIMITER);
  const cloud = createCloud({ inbox, traceOf: (id) => tracer.find(id) });
  const connection = {
    smtp: "127.0.0.1:8025",
    username: USERNAME,
    password: SECRET,
    devices: [],
    command: "curl",
  };
  const ended = new AbortController();
  const http = await serveHttp({ listen: { hostname: "127.0.0.1", port: 0 }, breaking: true });
  http.mount(cloud.routes, ["/entra/", "/graph/"]);
  http.mount(inboxRoutes(inbox, { connection, tracer, signal: ended.signal }));
  const { port } = http.addresses[0]!;
  const page = openStatusPage({ http, settings, given, variables, sandbox: true });
  const relay = await startRelay({
    settings: {
      ...settings,
      AZURE_AUTHORITY_HOST: new URL(`http://127.0.0.1:${port}/entra`),
      GRAPH_ENDPOINT: new URL(`http://127.0.0.1:${port}/graph`),
    },
    log: createLog({ level: settings.LOG_LEVEL, format: settings.LOG_FORMAT, write: () => {} }),
    http,
    replaced: { entries: new SandboxTable([]) },
    tracing: tracer,
    status: page.status,
  });
  const url = `http://127.0.0.1:${port}/`;
  const clients: SmtpClient[] = [];
  const connect = async () => {
    const client = new SmtpClient(relay.addresses.smtp[0]!.port);
    clients.push(client);
    await client.reply();
    await client.say("EHLO device.example");
    return client;
  };
  return {
    relay,
    cloud,
    inbox,
    tracer,
    status: page.status,
    url,
    async api(path) {
      const response = await fetch(`${url}api/${path}`);
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
      return await response.json();
    },
    connect,
    async logIn(password = SECRET, username = USERNAME) {
      const client = await connect();
      await client.say(`AUTH PLAIN ${btoa(`\0${username}\0${password}`)}`);
      return client;
    },
    async stop() {
      for (const client of clients) client.destroy();
      ended.abort();
      page.close();
      await relay.stop();
    },
  };
}
