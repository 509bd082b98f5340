/**
 * A whole relay in this process, with all of its input and output: SMTP over sockets, the
 * requests to an Entra ID and a Graph that respond as a test wants, each line of the log. All output
 * must be well-formed and must not contain a secret; `close` checks all of it.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { EntrySource } from "../../src/accounts/entry_source.ts";
import { fixedSource } from "../../src/certificates/source.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { openRelay } from "../support/relay.ts";
import { createLog } from "../support/log.ts";
import { settingsOf } from "../support/settings.ts";
import type { FakeClock } from "../support/fake_clock.ts";
import { USERNAME } from "../support/logins.ts";
import { type RawConnection, startRawServer } from "../support/raw_server.ts";

/** Nothing in them needs escaping, so that they are found wherever they are printed. */
export const SECRET = "S3cret-that-must-not-show";
export const TOKEN = "e30.VG9rZW4tdGhhdC1tdXN0LW5vdC1zaG93.sig";
const HIDDEN = [
  SECRET,
  TOKEN,
  "VG9rZW4tdGhhdC1tdXN0LW5vdC1zaG93",
  Buffer.from(SECRET).toString("base64").slice(0, -4),
  Buffer.from(`\0${USERNAME}\0${SECRET}`).toString("base64").slice(-32, -4),
];

/** An HTTP response with a JSON body, as Entra ID and Graph give. */
export function response(status: number, json: unknown, headers: string[] = []): string {
  const body = Buffer.from(typeof json === "string" ? json : JSON.stringify(json)).toString(
    "latin1",
  );
  const fields = [`Content-Length: ${body.length}`, ...headers];
  return `HTTP/1.1 ${status} Said\r\n${fields.join("\r\n")}\r\n\r\n${body}`;
}

const GOOD_TOKEN = response(200, { token_type: "Bearer", expires_in: 3599, access_token: TOKEN });
const ACCEPTED = response(202, "");

export interface DoorOptions {
  /** Of the SMTP side. */
  readonly clock?: FakeClock;
  readonly environment?: Readonly<Record<string, string>>;
  readonly logFormat?: "text" | "json";
  /** Entra ID's response; a token by default. */
  readonly entra?: (request: string) => string;
  /** Graph's response; 202 by default. */
  readonly graph?: (request: string) => string;
  readonly entries?: EntrySource;
}

export interface Door {
  readonly port: number;
  /** TLS from the first octet. */
  readonly tlsPort: number;
  /** The URL of HTTP_LISTEN; undefined when it is off. */
  readonly metrics: URL | undefined;
  /** The requests to Entra ID and Graph, each with head and body, one character per octet. */
  readonly requests: string[];
  /** What was written to the log, one piece per call. */
  readonly log: readonly string[];
  connect(): Promise<Talk>;
  /** After EHLO and AUTH. */
  login(username?: string): Promise<Talk>;
  /** The messages that Graph received, one character per octet, oldest first. */
  messages(): string[];
  /** Stops the relay; fails if any output is malformed or contains a secret. */
  close(): Promise<void>;
}

export async function openDoor(options: DoorOptions = {}): Promise<Door> {
  const { environment = {}, logFormat = "json", entra, graph, entries, clock } = options;
  const requests: string[] = [];
  const service = await startRawServer(async (connection: RawConnection) => {
    for (let count = 1;; count++) {
      const request = await connection.request(count);
      requests.push(request);
      const isToken = / \/entra\//.test(request.slice(0, request.indexOf("\r\n")));
      connection.write(
        isToken ? entra?.(request) ?? GOOD_TOKEN : graph?.(request) ?? ACCEPTED,
      );
    }
  });
  const settings = settingsOf({
    SMTP_LISTEN: "127.0.0.1:0",
    SMTPS_LISTEN: "127.0.0.1:0",
    HTTP_LISTEN: "off",
    SERVER_HOSTNAME: "relay.example",
    TLS_SOURCE: "file",
    REQUIRE_TLS: "false",
    SHUTDOWN_TIMEOUT: "1s",
    DELIVERY_TIMEOUT: "5s",
    // One client tries many things here: the limits have tests of their own.
    AUTH_RATE_LIMIT: "off",
    MAX_ERRORS: "100000",
    MAX_IDLE_COMMANDS: "100000",
    AZURE_AUTHORITY_HOST: `${service.url.origin}/entra`,
    GRAPH_ENDPOINT: `${service.url.origin}/graph`,
    ...environment,
  });
  const lines: string[] = [];
  const log = createLog({
    level: "DEBUG",
    format: logFormat,
    write: (line) => void lines.push(line),
  });
  const { relay, url } = await openRelay(settings, log, {
    certificates: fixedSource("test", await selfSignedCertificate()),
    ...(entries === undefined ? {} : { entries }),
    ...(clock === undefined ? {} : { clock }),
  });
  const talks: Talk[] = [];
  const port = relay.addresses.smtp[0]!.port;
  const open = async () => {
    const talk = await Talk.open(port);
    talks.push(talk);
    return talk;
  };
  return {
    port,
    tlsPort: relay.addresses.smtps[0]!.port,
    metrics: url === undefined ? undefined : new URL(`${url}/metrics`),
    requests,
    log: lines,
    connect: open,
    async login(username = USERNAME) {
      const talk = await open();
      await talk.say("EHLO client.example");
      const reply = await talk.auth(username, SECRET);
      assert.match(reply, /^235 /);
      return talk;
    },
    messages: () =>
      requests.filter((request) => / \/graph\/v1\.0\/users\/[^/]*\/sendMail /.test(request))
        .map((request) => {
          const body = request.slice(request.indexOf("\r\n\r\n") + 4);
          return Buffer.from(body, "base64").toString("latin1");
        }),
    async close() {
      for (const talk of talks) talk.destroy();
      const stopped = relay.stop();
      await (clock === undefined ? stopped : clock.passUntil(stopped));
      await service.close();
      for (const talk of talks) assertReplies(talk.heard);
      assertLog(lines, logFormat);
      for (const said of [...lines, ...talks.map(({ heard }) => heard)]) {
        for (const hidden of HIDDEN) assert.ok(!said.includes(hidden), `a secret in: ${said}`);
      }
    },
  };
}

/** One SMTP connection, octet for octet. */
export class Talk {
  /** All octets from the relay, one character each. */
  heard = "";
  ended = false;
  #socket: Socket;
  #read = 0;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  /** After the greeting. */
  static async open(port: number): Promise<Talk> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const talk = new Talk(socket);
    await talk.reply();
    return talk;
  }

  /** One character per octet. */
  write(text: string): void {
    this.#socket.write(Buffer.from(text, "latin1"));
  }

  /** Writes, and waits until the octets have left, so that what follows is mostly another segment. */
  send(text: string): Promise<void> {
    return new Promise((resolve) =>
      this.#socket.write(Buffer.from(text, "latin1"), () => resolve())
    );
  }

  /** The next whole reply. */
  async reply(): Promise<string> {
    for (;;) {
      const rest = this.heard.slice(this.#read);
      const match = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(rest);
      if (match !== null) {
        this.#read += match[0].length;
        return match[0].trimEnd();
      }
      assert.ok(!this.ended, `the connection ended; unread: ${JSON.stringify(rest)}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async replies(count: number): Promise<string[]> {
    const found: string[] = [];
    while (found.length < count) found.push(await this.reply());
    return found;
  }

  say(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  auth(username: string, password: string): Promise<string> {
    return this.say(`AUTH PLAIN ${Buffer.from(`\0${username}\0${password}`).toString("base64")}`);
  }

  /** A transaction up to the 354. */
  async begin(from = "alice@example.com", to: readonly string[] = ["bob@example.net"]) {
    assert.match(await this.say(`MAIL FROM:<${from}>`), /^250 /);
    for (const recipient of to) assert.match(await this.say(`RCPT TO:<${recipient}>`), /^250 /);
    assert.match(await this.say("DATA"), /^354 /);
  }

  /** A message whose octets need no dot-stuffing. @returns the reply */
  async message(content: string): Promise<string> {
    await this.begin();
    this.write(`${content}\r\n.\r\n`);
    return this.reply();
  }

  /** Octets from the relay after the replies that were read: there must be none. */
  async assertSilent(): Promise<void> {
    assert.equal(await this.say("NOOP"), "250 2.0.0 OK");
    assert.equal(this.heard.slice(this.#read), "");
  }

  /** @param queued written before the handshake is done: it leaves with the client's last flight */
  async handshake(queued = ""): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners();
    plain.on("error", () => {});
    const secure = connectTls({ socket: plain, rejectUnauthorized: false });
    this.#socket = secure;
    this.#listen(secure);
    if (queued !== "") secure.write(queued);
    await new Promise<void>((resolve, reject) =>
      secure.once("secureConnect", resolve).once("error", reject)
    );
  }

  async closed(): Promise<void> {
    while (!this.ended) await new Promise<void>((resolve) => this.#wake = resolve);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #listen(socket: Socket): void {
    socket.on("data", (octets: Uint8Array) => {
      this.heard += Buffer.from(octets).toString("latin1");
      this.#wake?.();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.ended = true;
      this.#wake?.();
    });
  }
}

/** RFC 5321 §4.2, §4.5.3.1.5: whole lines of printable ASCII, 512 octets at most. */
export function assertReplies(heard: string): void {
  if (heard === "") return;
  assert.ok(heard.endsWith("\r\n"), JSON.stringify(heard.slice(-80)));
  for (const line of heard.slice(0, -2).split("\r\n")) {
    assert.match(line, /^[2345]\d\d(?:[ -][\x20-\x7e]*)?$/);
    assert.ok(line.length <= 510, `a reply of ${line.length + 2} octets`);
  }
}

/** Characters that end a line, move text on a terminal, or are invisible there. */
const UNSAFE =
  // deno-lint-ignore no-control-regex -- these are the characters to find
  /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;

/** Each line is a single line of printable characters, short enough to read. */
export function assertLog(lines: readonly string[], format: "text" | "json"): void {
  for (const line of lines) {
    assert.ok(line.endsWith("\n"));
    const text = line.slice(0, -1);
    assert.ok(!UNSAFE.test(text), JSON.stringify(text));
    assert.ok(text.length < 20_000, `a line of ${text.length} characters`);
    if (format === "json") JSON.parse(text);
    else assert.match(text, /^\d{4}-\d\d-\d\dT[\d:.]+Z (?:DEBUG|INFO|WARNING|ERROR) [A-Z]/);
  }
}
