/** A relay as a whole: what its start opens, what it shows of itself, and what its stop leaves behind. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { afterEach, describe, it } from "node:test";
import { Hono } from "hono";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import type { CertificateSource } from "../../src/certificates/source.ts";
import { CommandError } from "../../src/exit.ts";
import type { HttpService, Readiness } from "../../src/observe/http.ts";
import { createLog } from "../support/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { RelayEvent } from "../../src/observe/relay_event.ts";
import { openHttp } from "../../src/relay/http.ts";
import { type Relay, type RelayParts, startRelay } from "../../src/relay/relay.ts";
import { REPLIES } from "../../src/smtp/reply.ts";
import { NO_SOCKETS } from "../../src/systemd/sockets.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { closedPort, startRawServer } from "../support/raw_server.ts";
import { plainSettings } from "../support/settings.ts";

const TOKEN = JSON.stringify({ token_type: "Bearer", expires_in: 3599, access_token: "e30.e30.x" });
const KEY = "c2VjcmV0LXRoYXQtbXVzdC1ub3Qtc2hvdw==";

/** An HTTP server that writes down what the relay does with it. */
class TestHttp implements HttpService {
  readonly addresses = [{ hostname: "127.0.0.1", port: 1 }];
  readiness: Readiness | undefined;
  closed = 0;
  mount(): void {}
  reportReadiness(readiness: Readiness): void {
    this.readiness = readiness;
  }
  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }
}

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Started {
  readonly relay: Relay;
  readonly http: TestHttp;
  readonly metrics: Metrics;
  readonly lines: Record<string, unknown>[];
  readonly client: () => Promise<SmtpClient>;
}

async function start(
  environment: Readonly<Record<string, string>> = {},
  parts: Partial<RelayParts> = {},
  lines: Record<string, unknown>[] = [],
): Promise<Started> {
  const http = parts.http === undefined ? new TestHttp() : parts.http as TestHttp;
  const metrics = new Metrics();
  const write = (line: string) => void lines.push(JSON.parse(line));
  const log = createLog({ level: "DEBUG", format: "json", write });
  const settings = plainSettings({ SHUTDOWN_TIMEOUT: "1s", ...environment });
  const relay = await startRelay({ settings, log, metrics, http, ...parts });
  ends.push(() => relay.stop());
  const client = async () => {
    const made = new SmtpClient(relay.addresses.smtp[0]!.port);
    ends.push(() => made.destroy());
    assert.match(await made.reply(), /^220 /);
    return made;
  };
  return { relay, http, metrics, lines, client };
}

/** Entra ID and Graph in one, on one connection; Graph answers with this status. */
async function services(status = 202) {
  const server = await startRawServer(async (connection) => {
    for (let count = 1;; count++) {
      const request = await connection.request(count);
      const body = request.startsWith("POST /entra/") ? TOKEN : "";
      const code = body === "" ? status : 200;
      connection.write(`HTTP/1.1 ${code} X\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    }
  });
  ends.push(() => server.close());
  return {
    server,
    environment: {
      AZURE_AUTHORITY_HOST: `${server.url.origin}/entra`,
      GRAPH_ENDPOINT: `${server.url.origin}/graph`,
    },
  };
}

/** The table service, which answers everything with this. */
async function tableService(status: number, body: unknown) {
  const text = JSON.stringify(body);
  const server = await startRawServer(async (connection) => {
    for (let count = 1;; count++) {
      await connection.request(count);
      connection.write(
        `HTTP/1.1 ${status} X\r\nContent-Type: application/json\r\n` +
          `Content-Length: ${text.length}\r\n\r\n${text}`,
      );
    }
  });
  ends.push(() => server.close());
  return tableAt(server.port);
}

function tableAt(port: number) {
  const url = `http://127.0.0.1:${port}/account`;
  return {
    AZURE_TABLES_URL: `${url}/users`,
    AZURE_TABLES_CONNECTION_STRING: "DefaultEndpointsProtocol=http;AccountName=account;" +
      `AccountKey=${KEY};TableEndpoint=${url};`,
  };
}

const told = (lines: readonly Record<string, unknown>[], message: RegExp) =>
  lines.filter((line) => message.test(String(line["message"])));

describe("a page", () => {
  it("is mounted on the server that the relay gets: the start knows nothing of it", async () => {
    const metrics = new Metrics();
    const log = createLog({ level: "CRITICAL", format: "json", write: () => {} });
    const settings = plainSettings({ HTTP_LISTEN: "127.0.0.1:0" });
    const sockets = NO_SOCKETS.http;
    const http = await openHttp({ settings, log, metrics, sockets, optional: false });
    http!.mount(new Hono().get("/status", (context) => context.text("a page")));
    await start({}, { http: http!, metrics });
    const url = `http://127.0.0.1:${http!.addresses[0]!.port}`;
    assert.equal(await (await fetch(`${url}/status`)).text(), "a page");
    http!.mount(new Hono().get("/late", (context) => context.text("a later page")));
    assert.equal(await (await fetch(`${url}/late`)).text(), "a later page");
    assert.match(await (await fetch(`${url}/metrics`)).text(), /open_connections 0\n/);
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
  });
});

describe("a start", () => {
  it("says where it listens, and that it is ready, and how it is doing", async () => {
    const { environment } = await services();
    const { relay, http, client } = await start(environment);
    const { port } = relay.addresses.smtp[0]!;
    const where = `127.0.0.1:${port}`;
    assert.deepEqual(http.readiness!(), {
      smtp: { ready: true, connections: 0, listening: [where] },
      tls: { ready: true, source: "off" },
    });
    const device = await client();
    await device.say("EHLO device");
    await device.say(`AUTH PLAIN ${btoa(`\0${USERNAME}\0a secret`)}`);
    assert.match(await device.send("a@example.com", "b@example.org"), /^250 /);
    assert.deepEqual(relay.state(), {
      listening: [where],
      connections: 1,
      sent: 1,
      refused: 0,
      deferred: 0,
      ambiguous: 0,
    });
  });

  it("goes on with what was counted before, such as of the log, and says each kind of message", async () => {
    const metrics = new Metrics();
    const counts = { sent: 4, refused: 3, deferred: 2, ambiguous: 1 };
    for (const [result, count] of Object.entries(counts)) {
      for (let i = 0; i < count; i++) metrics.count("messages", { result });
    }
    const { relay } = await start({}, { metrics });
    const { listening: _, connections: __, ...said } = relay.state();
    assert.deepEqual(said, counts);
  });

  it("that fails closes what it has opened, and says which address is the trouble", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    ends.push(() => new Promise((resolve) => taken.close(resolve)));
    const { port } = taken.address() as { port: number };
    const http = new TestHttp();
    await assert.rejects(
      start({ SMTP_LISTEN: `127.0.0.1:0, 127.0.0.1:${port}` }, { http }),
      (error) =>
        error instanceof CommandError && error.status === 69 &&
        error.lines[0]!.startsWith(`SMTP_LISTEN 127.0.0.1:${port}: `),
    );
    assert.equal(http.closed, 1);
  });

  it("warns of TRUSTED_NETWORKS, and names the login", async () => {
    const { lines } = await start({
      TRUSTED_NETWORKS: "192.0.2.0/24",
      TRUSTED_USERNAME: USERNAME,
      TRUSTED_PASSWORD: "a secret",
      ALLOWED_SENDERS: "a@example.com",
    });
    const [line] = told(lines, /TRUSTED_NETWORKS/);
    assert.deepEqual([line?.["level"], line?.["networks"], line?.["username"]], [
      "WARNING",
      "192.0.2.0/24",
      USERNAME,
    ]);
    assert.deepEqual(told((await start()).lines, /TRUSTED_NETWORKS/), []);
  });

  it("takes a certificate in the place of the settings', looks again when asked, and lets go", async () => {
    const certificate = await selfSignedCertificate();
    const looks: AbortSignal[] = [];
    const source: CertificateSource = {
      name: "test",
      interval: undefined,
      patience: 0,
      read({ known, signal }) {
        looks.push(signal);
        return Promise.resolve(known === undefined ? { certificate, revision: "1" } : undefined);
      },
    };
    const { relay, http, client } = await start(
      { TLS_SOURCE: "file" },
      { replaced: { certificates: source } },
    );
    const tls = http.readiness!()["tls"];
    assert.deepEqual([tls?.ready, tls?.["source"]], [true, "test"]);
    assert.match(await (await client()).say("EHLO device"), /STARTTLS/);
    await relay.reload();
    assert.equal(looks.length, 2);
    await relay.stop();
    assert.equal(looks[1]!.aborted, true);
    await (await start()).relay.reload();
  });
});

describe("a listener that traces", () => {
  it("gets the events, sees each session, and decorates service and HTTP client", async () => {
    const { environment } = await services();
    const events: RelayEvent[] = [];
    const dialogue: string[] = [];
    const asked: string[] = [];
    let logins = 0;
    const { client } = await start(environment, {
      tracing: {
        notify: (event) => void events.push(event),
        session: () => ({
          command: (shown) => void dialogue.push(shown),
          reply: (text) => void dialogue.push(text.slice(0, 3)),
        }),
        service: (service) => ({
          authenticate(credentials, from) {
            logins++;
            return service.authenticate(credentials, from);
          },
          submit: (...parts) => service.submit(...parts),
          refused: (...parts) => service.refused(...parts),
        }),
        http: (http) => ({
          request(request) {
            asked.push(request.url.pathname.split("/")[1]!);
            return http.request(request);
          },
          abort: () => http.abort(),
        }),
      },
    });
    const device = await client();
    await device.say("EHLO device");
    await device.say(`AUTH PLAIN ${btoa(`\0${USERNAME}\0a secret`)}`);
    await device.send("a@example.com", "b@example.org");
    assert.deepEqual(events.map(({ type }) => type), ["token", "login", "message"]);
    assert.deepEqual([dialogue[0], dialogue[1]], ["220", "EHLO device"]);
    assert.deepEqual([logins, asked], [1, ["entra", "graph"]]);
  });
});

describe("what nothing has caught", () => {
  it("is logged and counted, and the relay goes on", async () => {
    const { relay, metrics, lines, client } = await start();
    relay.fault(new Error("a bug"));
    assert.equal(metrics.value("internal_errors", {}), 1);
    const [line] = told(lines, /Internal error/);
    assert.equal(line?.["level"], "ERROR");
    assert.match(await (await client()).say("NOOP"), /^250 /);
  });
});

describe("a flood of lines", () => {
  it("is counted in the metrics, and in a line at the stop", async () => {
    const { relay, metrics, lines, client } = await start({
      MAX_ERRORS: "1000",
      MAX_IDLE_COMMANDS: "1000",
    });
    const flooding = await client();
    await flooding.say("EHLO device");
    flooding.write("MAIL FROM:<a@example.com>\r\n".repeat(400));
    flooding.write("QUIT\r\n");
    await flooding.closed();
    const suppressed = metrics.value("log_lines_suppressed", {});
    assert.ok(suppressed >= 50, `${suppressed}`);
    const before = lines.length;
    await relay.stop();
    const counts = lines.slice(before).map((line) => Number(line["lines"] ?? line["count"] ?? 0));
    assert.ok(counts.some((count) => count >= 50), JSON.stringify(lines.slice(before)));
  });
});

describe("a stop", () => {
  it("is not ready from its first moment, and closes connections to services, and the HTTP side last", async () => {
    const { server, environment } = await services();
    const { relay, http, client } = await start(environment);
    const device = await client();
    await device.say("EHLO device");
    assert.match(await device.say(`AUTH PLAIN ${btoa(`\0${USERNAME}\0a secret`)}`), /^235 /);
    const stopped = relay.stop();
    assert.equal(http.readiness!()["smtp"]?.ready, false);
    assert.equal(http.closed, 0);
    assert.match(await device.reply(), /^421 4\.3\.2 /);
    device.destroy();
    await stopped;
    assert.equal(http.closed, 1);
    await server.connections[0]!.ended();
    await relay.stop();
    assert.equal(http.closed, 1, "there is nothing left to close");
  });
});

describe("the lookup table", () => {
  const login = async (client: SmtpClient) => {
    await client.say("EHLO device");
    return await client.say(`AUTH PLAIN ${btoa("\0scanner@lookup\0a secret")}`);
  };

  it("is a part of the readiness, and never a reason against it", async () => {
    const { http, client } = await start(
      await tableService(404, {
        "odata.error": { code: "ResourceNotFound", message: { value: "no" } },
      }),
    );
    assert.deepEqual(http.readiness!()["table"], { ready: true });
    assert.match(await login(await client()), /^535 /);
    assert.deepEqual(http.readiness!()["table"], { ready: true, answers: true });
    const away = await start(tableAt(await closedPort()));
    assert.match(await login(await away.client()), /^454 /);
    assert.deepEqual(away.http.readiness!()["table"], {
      ready: true,
      answers: false,
      code: "ECONNREFUSED",
    });
  });

  it("that is the sandbox's own gives entries, and is no part of the readiness", async () => {
    const columns = { tenant_id: TENANT, client_id: CLIENT };
    const entries = {
      find: (id: string) => Promise.resolve(id === "scanner" ? { id, columns } : undefined),
      findByClient: () => Promise.resolve([]),
    };
    const { environment } = await services();
    const { http, client } = await start(environment, { replaced: { entries } });
    assert.match(await login(await client()), new RegExp(`^${REPLIES.authenticated.code} `));
    assert.equal(http.readiness!()["table"], undefined);
  });

  it("has to answer at the start with AZURE_TABLES_FORCE_USAGE; without an entry it is warned about", async () => {
    const environment = { AZURE_TABLES_FORCE_USAGE: "true" };
    const { lines } = await start({ ...environment, ...await tableService(200, { value: [] }) });
    assert.deepEqual(told(lines, /has no entry/).map((line) => line["level"]), ["WARNING"]);
    const row = { PartitionKey: "user", RowKey: "scanner" };
    const full = await start({ ...environment, ...await tableService(200, { value: [row] }) });
    assert.deepEqual(told(full.lines, /has no entry/), []);
    await assert.rejects(
      start({ ...environment, ...tableAt(await closedPort()) }),
      (error) =>
        error instanceof CommandError && error.status === 69 &&
        /^AZURE_TABLES_FORCE_USAGE needs the lookup table: ECONNREFUSED: /.test(error.lines[0]!),
    );
  });
});
