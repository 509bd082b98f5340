/** The SMTP server that the settings ask for: each of them changes what a client meets. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog } from "../support/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { RelayEvent } from "../../src/observe/relay_event.ts";
import { listenSmtp, memoryFor, smtpServer } from "../../src/relay/smtp.ts";
import type { TlsIdentity } from "../../src/runtime/runtime.ts";
import type { Client } from "../../src/submission/submission_service.ts";
import { NO_SOCKETS } from "../../src/systemd/sockets.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { USERNAME } from "../support/logins.ts";
import { MemoryRuntime } from "../support/memory_runtime.ts";
import { plainSettings } from "../support/settings.ts";
import { serviceOf, type TestHandlers } from "../support/smtp_server.ts";

const IDENTITY: TlsIdentity = { certificate: "", privateKey: "", minVersion: "1.2" };

interface Setup {
  readonly handlers?: TestHandlers;
  readonly tls?: boolean;
  readonly sockets?: Partial<typeof NO_SOCKETS>;
}

async function start(
  environment: Readonly<Record<string, string>> = {},
  { handlers = {}, tls = false, sockets = {} }: Setup = {},
) {
  const settings = plainSettings(environment);
  const runtime = new MemoryRuntime();
  const clock = new FakeClock();
  const metrics = new Metrics();
  const lines: Record<string, unknown>[] = [];
  const events: RelayEvent[] = [];
  const observed: Client[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  const log = createLog({ level: "DEBUG", format: "json", write });
  const notify = (event: RelayEvent) => void events.push(event);
  const server = smtpServer({
    settings,
    runtime,
    service: serviceOf(handlers),
    identity: () => tls ? IDENTITY : undefined,
    observers: {
      log,
      notify,
      metrics,
      observe: (client) => {
        observed.push(client);
        return { command() {}, reply() {} };
      },
    },
    clock,
    memory: memoryFor(settings, log, notify),
  });
  const addresses = await listenSmtp(server, settings, { ...NO_SOCKETS, ...sockets });
  const gauge = (name: string) =>
    Number(new RegExp(`^smtp_oauth_relay_${name} (\\d+)$`, "m").exec(metrics.text())?.[1]);
  const limits = () => events.flatMap((event) => event.type === "limit" ? [event.setting] : []);
  const authed = async (address?: string) => {
    const client = runtime.client(address);
    assert.match(await client.logIn("user", "secret"), /^235 /);
    return client;
  };
  return { server, runtime, clock, lines, events, observed, addresses, gauge, limits, authed };
}

const MAIL = "MAIL FROM:<a@example.com>";
const RCPT = "RCPT TO:<b@example.org>";

describe("a session", () => {
  it("greets with SERVER_HOSTNAME and SERVER_GREETING, and says MAX_MESSAGE_SIZE and MAX_RECIPIENTS", async () => {
    const { runtime } = await start({
      SERVER_HOSTNAME: "relay.example.com",
      SERVER_GREETING: "at your service",
      MAX_MESSAGE_SIZE: "3000000",
      MAX_RECIPIENTS: "7",
    });
    const client = runtime.client();
    assert.match(client.text, /^220 relay\.example\.com .*at your service\r\n$/);
    const extensions = await client.say("EHLO client.example");
    assert.match(extensions, /^250-relay\.example\.com/);
    assert.match(extensions, /SIZE 3000000\r\n/);
    assert.match(extensions, /LIMITS .*RCPTMAX=7/);
    assert.doesNotMatch(extensions, /STARTTLS/);
  });

  it("refuses AUTH and mail before TLS with REQUIRE_TLS, and offers it (RFC 3207 §4)", async () => {
    const { runtime } = await start(
      { TLS_SOURCE: "file", REQUIRE_TLS: "true" },
      { tls: true },
    );
    const client = runtime.client();
    assert.match(await client.say("EHLO client.example"), /STARTTLS/);
    assert.match(await client.say(MAIL), /^530 5\.7\.0 /);
    assert.match(await client.say("STARTTLS"), /^220 /);
    assert.equal(client.identity, IDENTITY);
    const open = await start({ REQUIRE_TLS: "false" });
    const plain = open.runtime.client();
    assert.match(await plain.logIn("user", "secret"), /^235 /);
  });

  it("offers AUTH_MECHANISMS, and no others", async () => {
    const { runtime } = await start({ AUTH_MECHANISMS: "LOGIN" });
    const client = runtime.client();
    assert.match(await client.say("EHLO client.example"), /AUTH LOGIN\r\n/);
    assert.match(await client.say("AUTH PLAIN AGEAYg=="), /^504 /);
  });

  it("ends after MAX_ERRORS and MAX_IDLE_COMMANDS", async () => {
    const { runtime, limits } = await start({ MAX_ERRORS: "2", MAX_IDLE_COMMANDS: "3" });
    const wrong = runtime.client();
    assert.match(await wrong.say("X", "X", "X"), /^500 .*\r\n(500 .*\r\n)?421 /);
    const idle = runtime.client();
    assert.match(await idle.say("NOOP", "NOOP", "NOOP", "NOOP"), /421 /);
    assert.deepEqual(limits(), ["MAX_ERRORS", "MAX_IDLE_COMMANDS"]);
  });

  it("refuses at RCPT what the message could not have as a recipient", async () => {
    const { authed } = await start();
    const client = await authed();
    await client.say(MAIL);
    assert.match(await client.say('RCPT TO:<"<"@example.org>'), /^550 5\.1\.3 /);
    assert.match(await client.say(RCPT), /^250 /);
  });

  it("of a client in TRUSTED_NETWORKS needs no login, and that of no other", async () => {
    const { runtime, observed } = await start({
      TRUSTED_NETWORKS: "192.0.2.0/24",
      TRUSTED_USERNAME: USERNAME,
      TRUSTED_PASSWORD: "secret",
      ALLOWED_SENDERS: "a@example.com",
    });
    const trusted = runtime.client("192.0.2.9");
    await trusted.say("EHLO client.example");
    assert.match(await trusted.say(MAIL), /^250 /);
    const other = runtime.client("198.51.100.9");
    await other.say("EHLO client.example");
    assert.match(await other.say(MAIL), /^530 /);
    assert.deepEqual(observed.map(({ address }) => address), ["192.0.2.9", "198.51.100.9"]);
  });

  it("has no trusted client where TRUSTED_NETWORKS is not set", async () => {
    const { runtime } = await start();
    const client = runtime.client();
    await client.say("EHLO client.example");
    assert.match(await client.say(MAIL), /^530 /);
  });

  it("begins with a header for proxies in PROXY_PROTOCOL_NETWORKS, within five seconds", async () => {
    const { runtime, clock, events, observed } = await start({
      PROXY_PROTOCOL_NETWORKS: "192.0.2.0/24",
    });
    const proxied = runtime.client("192.0.2.1");
    assert.equal(proxied.text, "");
    await proxied.say("PROXY TCP4 203.0.113.5 192.0.2.1 5555 25");
    assert.match(proxied.text, /^220 /);
    assert.equal(observed[0]?.address, "203.0.113.5");
    const silent = runtime.client("192.0.2.2");
    clock.pass(4_900);
    assert.equal(silent.destroyed, false);
    clock.pass(1_000);
    assert.equal(silent.destroyed, true);
    const refused = events.flatMap((event) => event.type === "proxyHeader" ? [event.reason] : []);
    assert.deepEqual(refused, ["missing"]);
    assert.match(runtime.client("198.51.100.1").text, /^220 /);
  });
});

describe("a deadline", () => {
  it("is COMMAND_TIMEOUT between commands", async () => {
    const { runtime, clock, limits } = await start({ COMMAND_TIMEOUT: "40s" });
    const client = runtime.client();
    clock.pass(39_000);
    assert.equal(client.ended, false);
    clock.pass(2_000);
    assert.match(client.text, /421 4\.4\.2 /);
    assert.deepEqual([client.ended, limits()], [true, ["COMMAND_TIMEOUT"]]);
  });

  it("is DATA_TIMEOUT inside a message, and MIN_DATA_RATE", async () => {
    const { clock, limits, authed } = await start({
      DATA_TIMEOUT: "20s",
      MIN_DATA_RATE: "1000",
      COMMAND_TIMEOUT: "9m",
    });
    const silent = await authed();
    await silent.say(MAIL, RCPT, "DATA");
    clock.pass(19_000);
    assert.equal(silent.ended, false);
    clock.pass(2_000);
    assert.deepEqual([silent.ended, limits()], [true, ["DATA_TIMEOUT"]]);
    const slow = await authed();
    await slow.say(MAIL, RCPT, "DATA");
    for (let second = 0; second < 120 && !slow.ended; second++) {
      await slow.say("x");
      clock.pass(1_000);
    }
    assert.deepEqual([slow.ended, limits().at(-1)], [true, "MIN_DATA_RATE"]);
  });

  it("is thirty seconds for a TLS handshake", async () => {
    const { runtime, clock } = await start(
      { TLS_SOURCE: "file", COMMAND_TIMEOUT: "9m" },
      { tls: true },
    );
    const client = runtime.client();
    await client.say("EHLO client.example", "STARTTLS");
    clock.pass(29_000);
    assert.equal(client.destroyed, false);
    clock.pass(2_000);
    assert.equal(client.destroyed, true);
  });

  it("is five seconds for the last reply, and thirty for replies that pile up", async () => {
    const { runtime, clock } = await start({ COMMAND_TIMEOUT: "9m" });
    const leaving = runtime.client();
    assert.match(await leaving.say("QUIT"), /^221 /);
    clock.pass(4_000);
    assert.deepEqual([leaving.ended, leaving.destroyed], [true, false]);
    clock.pass(2_000);
    assert.equal(leaving.destroyed, true);
    const deaf = runtime.client();
    deaf.reads = false;
    await deaf.say("NOOP");
    clock.pass(29_000);
    assert.equal(deaf.destroyed, false);
    clock.pass(2_000);
    assert.equal(deaf.destroyed, true);
  });
});

describe("the limits of connections and memory", () => {
  it("are MAX_CONNECTIONS and MAX_CONNECTIONS_PER_IP, by the clock that ends connections", async () => {
    const { runtime, clock, limits, gauge } = await start({
      MAX_CONNECTIONS: "3",
      MAX_CONNECTIONS_PER_IP: "2",
    });
    const [first] = [runtime.client("192.0.2.1"), runtime.client("192.0.2.1")];
    const third = runtime.client("192.0.2.1");
    assert.equal(third.text, "");
    assert.equal(gauge("open_connections"), 3);
    clock.pass(2_000);
    assert.equal(first.ended || third.ended, true);
    assert.deepEqual(new Set(limits()), new Set(["MAX_CONNECTIONS_PER_IP"]));
    for (const n of [2, 3, 4, 5]) runtime.client(`192.0.2.${n}`);
    assert.ok(limits().includes("MAX_CONNECTIONS"));
  });

  it("are MAX_MEMORY, with an event where that is used up, and a gauge", async () => {
    const { authed, events, gauge, lines } = await start({
      MAX_MEMORY: "30m",
      MAX_MESSAGE_SIZE: "25m",
    });
    const MIB = 1024 * 1024;
    const [line] = lines.filter(({ message }) => String(message).startsWith("MAX_MEMORY"));
    assert.deepEqual([line?.["memory_bytes"], line?.["max_message_bytes"]], [30 * MIB, 25 * MIB]);
    const client = await authed();
    assert.match(await client.say(`${MAIL} SIZE=${24 * MIB}`), /^452 4\.3\.1 /);
    const [event] = events.filter(({ type }) => type === "memory");
    assert.deepEqual(event, { type: "memory", used: 0, limit: 30 * MIB });
    assert.equal(gauge("mail_memory_bytes"), 0);
    await client.say(MAIL, RCPT, "DATA");
    assert.ok(gauge("mail_memory_bytes") > 0);
  });

  it("queue clients up, which a gauge shows, where all places are taken", async () => {
    const { runtime, gauge, clock } = await start({ MAX_CONNECTIONS: "10" });
    const arrive = (count: number) =>
      Array.from({ length: count }, (_, i) => runtime.client(`192.0.${count}.${i}`));
    const [first] = arrive(10);
    assert.deepEqual([gauge("queued_connections"), gauge("open_connections")], [0, 10]);
    const waiting = arrive(2);
    assert.deepEqual([gauge("queued_connections"), gauge("open_connections")], [2, 12]);
    first!.close();
    clock.pass(500);
    assert.deepEqual(waiting.map(({ text }) => text.slice(0, 4)), ["220 ", ""]);
    assert.equal(gauge("queued_connections"), 1);
  });
});

describe("where it listens", () => {
  it("is SMTP_LISTEN and SMTPS_LISTEN, as bound", async () => {
    const { runtime, addresses } = await start(
      {
        TLS_SOURCE: "file",
        SMTP_LISTEN: "127.0.0.1:0, 127.0.0.2:2525",
        SMTPS_LISTEN: "127.0.0.3:4650",
      },
      { tls: true },
    );
    assert.deepEqual(addresses, {
      smtp: [{ hostname: "127.0.0.1", port: 40_001 }, { hostname: "127.0.0.2", port: 2525 }],
      smtps: [{ hostname: "127.0.0.3", port: 4650 }],
    });
    const [plain, tls] = [runtime.client("192.0.2.1", 1), runtime.client("192.0.2.1", 2)];
    assert.match(plain.text, /^220 /);
    assert.deepEqual([tls.text, tls.identity], ["", IDENTITY]);
    tls.secured();
    assert.match(tls.text, /^220 /);
  });

  it("is nowhere for SMTPS where that is not set", async () => {
    const { runtime, addresses } = await start();
    assert.deepEqual([addresses.smtps, runtime.listening.length], [[], 1]);
  });

  it("is on the sockets that were handed over, in the settings' place", async () => {
    const socket = (descriptor: number) => ({ hostname: "::", port: 20 + descriptor, descriptor });
    const { runtime, addresses } = await start(
      { TLS_SOURCE: "file", SMTPS_LISTEN: "127.0.0.3:4650" },
      { tls: true, sockets: { smtp: [socket(5)], smtps: [socket(6)] } },
    );
    assert.deepEqual(runtime.listening, [":::25 fd 5", ":::26 fd 6"]);
    assert.deepEqual(addresses.smtps, [{ hostname: "::", port: 26 }]);
    assert.match(runtime.client("192.0.2.1", 0).text, /^220 /);
    assert.equal(runtime.client("192.0.2.1", 1).identity, IDENTITY);
  });
});
