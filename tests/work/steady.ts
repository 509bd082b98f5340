// Steady work for a relay whose cost is counted: a few devices send one message after another, and each
// waits for each reply. A cloud answers with the least that will do, in one piece.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { type Program, type Relay, SECRET, serve, USERNAME } from "../end_to_end/programs.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";

export const CONNECTIONS = 4;
/** Octets of a message. */
const OCTETS = 10_000;

/** A relay, its cloud, and devices that log in over TLS. */
export class SteadyWorld {
  readonly relay: Relay;
  readonly #cloud: Cloud;
  readonly #directory: string;
  readonly #devices: SmtpClient[] = [];

  private constructor(relay: Relay, cloud: Cloud, directory: string) {
    this.relay = relay;
    this.#cloud = cloud;
    this.#directory = directory;
  }

  /** @param environment beside what a relay in service has: the log at INFO, metrics and the page */
  static async open(program: Program, environment: Record<string, string> = {}) {
    const directory = mkdtempSync(join(tmpdir(), "relay-work-"));
    const certificate = await selfSignedCertificate();
    const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
    writeFileSync(files.cert, certificate.certificate);
    writeFileSync(files.key, certificate.privateKey);
    const cloud = await Cloud.open();
    const relay = await serve(program, {
      SMTPS_LISTEN: "127.0.0.1:0",
      TLS_CERT_FILEPATH: files.cert,
      TLS_KEY_FILEPATH: files.key,
      LOG_LEVEL: "INFO",
      AZURE_AUTHORITY_HOST: `${cloud.url}/entra`,
      GRAPH_ENDPOINT: `${cloud.url}/graph`,
      ...environment,
    });
    return new SteadyWorld(relay, cloud, directory);
  }

  async logIn(): Promise<void> {
    for (let i = 0; i < CONNECTIONS; i++) {
      const device = new SmtpClient(this.relay.smtps, "127.0.0.1", true);
      this.#devices.push(device);
      assert.match(await device.login(USERNAME, SECRET), /^235 /);
    }
  }

  /** Sends so many messages from each device, and waits for the last reply. */
  async send(messages: number): Promise<void> {
    await Promise.all(this.#devices.map(async (device, i) => {
      const sender = `sender${i}@example.com`;
      for (let left = messages; left > 0; left--) {
        assert.match(await device.say(`MAIL FROM:<${sender}>`), /^250 /);
        assert.match(await device.say("RCPT TO:<to@example.org>"), /^250 /);
        assert.match(await device.say("DATA"), /^354 /);
        assert.match(await device.say(content(sender)), /^250 /);
      }
    }));
  }

  /** Stops the relay. */
  async close(): Promise<void> {
    for (const device of this.#devices) device.destroy();
    await this.relay.running.stop();
    await this.#cloud.close();
    rmSync(this.#directory, { recursive: true });
  }
}

function content(sender: string): string {
  const head = `From: <${sender}>\r\nTo: <to@example.org>\r\nSubject: steady\r\n\r\n`;
  const line = "The quick brown fox jumps over the lazy dog and writes home about it.....\r\n";
  return `${head}${line.repeat(Math.ceil((OCTETS - head.length) / line.length))}.`;
}

/** Entra ID and Graph: a token for each login, and 202 for each message. */
class Cloud {
  readonly url: string;
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets: Set<Socket>;

  private constructor(server: ReturnType<typeof createServer>, sockets: Set<Socket>) {
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#server = server;
    this.#sockets = sockets;
  }

  static async open(): Promise<Cloud> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
      let received: Buffer[] = [];
      socket.on("data", (octets: Uint8Array) => {
        received.push(Buffer.from(octets));
        const response = responseTo(Buffer.concat(received).toString("latin1"));
        if (response === undefined) return;
        received = [];
        socket.write(response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Cloud(server, sockets);
  }

  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    return closed;
  }
}

const CLAIMS = Buffer.from(JSON.stringify({ roles: ["Mail.Send"] })).toString("base64url");
const TOKEN = JSON.stringify({
  token_type: "Bearer",
  expires_in: 3599,
  access_token: `e30.${CLAIMS}.${"s".repeat(1200)}`,
});

/** @returns undefined as long as part of the request is missing */
function responseTo(request: string): string | undefined {
  const head = request.indexOf("\r\n\r\n");
  if (head < 0) return undefined;
  const length = Number(/^content-length: (\d+)/im.exec(request)?.[1] ?? 0);
  if (request.length < head + 4 + length) return undefined;
  const isMessage = request.slice(0, request.indexOf("\r\n")).includes("/sendMail ");
  const body = isMessage ? "" : TOKEN;
  return `HTTP/1.1 ${isMessage ? "202 Accepted" : "200 OK"}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body}`;
}
