// A real haproxy in front of a relay, with each variant of the PROXY protocol.

import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { Running } from "./programs.ts";

const HAPROXY = "/usr/sbin/haproxy";

/** Why haproxy cannot be used on this machine, if so. */
export const ABSENT = existsSync(HAPROXY) ? false : "haproxy is not installed";

/** The proxy's address as the relay sees it. */
export const PROXY_ADDRESS = "127.0.0.9";

export interface Way {
  readonly name: string;
  /** Words of the `server` line. */
  readonly server: string;
  /** The relay's port for TLS from the first octet. */
  readonly smtps: boolean;
  /** TLS ends at haproxy; the relay gets plain text. */
  readonly terminates?: boolean;
}

const TLVS = "proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id";

export const WAYS: readonly Way[] = [
  { name: "send-proxy", server: "send-proxy", smtps: false },
  { name: "send-proxy-v2", server: "send-proxy-v2", smtps: false },
  { name: "send-proxy-v2 with options", server: `send-proxy-v2 ${TLVS}`, smtps: false },
  {
    name: "send-proxy-v2-ssl-cn with options, where TLS ends",
    server: `send-proxy-v2-ssl-cn ${TLVS}`,
    smtps: false,
    terminates: true,
  },
  { name: "send-proxy, to SMTPS", server: "send-proxy", smtps: true },
  { name: "send-proxy-v2, to SMTPS", server: "send-proxy-v2", smtps: true },
  { name: "send-proxy-v2 with options, to SMTPS", server: `send-proxy-v2 ${TLVS}`, smtps: true },
];

export class Haproxy {
  readonly #running: Running;
  readonly #directory: string;
  /** The entry port of each way, in the order of {@link WAYS}. */
  readonly ports: readonly number[];
  /** Leads to the relay without any header. */
  readonly bare: number;
  readonly #stats: number;

  static async start(relay: { smtp: number; smtps: number }): Promise<Haproxy> {
    const directory = mkdtempSync(join(tmpdir(), "relay-haproxy-"));
    const { certificate, privateKey } = await selfSignedCertificate();
    writeFileSync(join(directory, "both.pem"), certificate + privateKey);
    const ports = await freePorts(WAYS.length + 2);
    const [stats, bare, ...ways] = ports as [number, number, ...number[]];
    const configuration = join(directory, "haproxy.cfg");
    writeFileSync(
      configuration,
      [
        "global",
        "  maxconn 100",
        "defaults",
        "  mode tcp",
        "  timeout connect 5s",
        "  timeout client 60s",
        "  timeout server 60s",
        "  timeout check 5s",
        "listen stats",
        `  bind 127.0.0.1:${stats}`,
        "  mode http",
        "  stats enable",
        "  stats uri /stats",
        "listen bare",
        `  bind 127.0.0.1:${bare}`,
        `  server relay 127.0.0.1:${relay.smtp} source ${PROXY_ADDRESS}`,
        ...WAYS.flatMap(({ server, smtps, terminates }, i) => [
          `listen way${i}`,
          `  bind 127.0.0.1:${ways[i]}${terminates ? ` ssl crt ${directory}/both.pem` : ""}`,
          "  unique-id-format %[uuid()]",
          "  option smtpchk EHLO haproxy.example",
          `  server relay 127.0.0.1:${smtps ? relay.smtps : relay.smtp} source ${PROXY_ADDRESS} ` +
          `${server} check check-send-proxy inter 300ms` +
          (smtps ? " check-ssl verify none" : ""),
        ]),
        "",
      ].join("\n"),
    );
    const running = new Running(spawn(HAPROXY, ["-db", "-f", configuration], {
      stdio: ["ignore", "pipe", "pipe"],
      env: {},
    }));
    const made = new Haproxy(running, directory, ways, bare, stats);
    await made.#until((rows) => rows.length > 0, "it does not start");
    return made;
  }

  constructor(
    running: Running,
    directory: string,
    ports: readonly number[],
    bare: number,
    stats: number,
  ) {
    this.#running = running;
    this.#directory = directory;
    this.ports = ports;
    this.bare = bare;
    this.#stats = stats;
  }

  /** Waits until each way's health check has passed, down to the relay's answer to EHLO. */
  healthy(): Promise<void> {
    const checked = (rows: readonly Row[]) =>
      WAYS.every((_, i) =>
        rows.some((row) =>
          row.way === `way${i}` && row.status.startsWith("UP") && row.check === "L7OK"
        )
      );
    return this.#until(checked, "a health check does not pass");
  }

  async stop(): Promise<void> {
    this.#running.child.kill("SIGTERM");
    await this.#running.exited;
    rmSync(this.#directory, { recursive: true });
  }

  async #until(condition: (rows: readonly Row[]) => boolean, otherwise: string): Promise<void> {
    let rows: readonly Row[] = [];
    for (let tries = 0; tries < 200; tries++) {
      if (this.#running.child.exitCode !== null) break;
      rows = await this.#rows().catch(() => []);
      if (condition(rows)) return;
      await sleep(50);
    }
    throw new Error(`haproxy: ${otherwise}: ${JSON.stringify(rows)}\n${this.#running.stderr}`);
  }

  async #rows(): Promise<readonly Row[]> {
    const answer = await fetch(`http://127.0.0.1:${this.#stats}/stats;csv`);
    const [head = "", ...lines] = (await answer.text()).trim().split("\n");
    const names = head.replace(/^# /, "").split(",");
    return lines.map((line) => {
      const cells = line.split(",");
      const cell = (name: string) => cells[names.indexOf(name)] ?? "";
      return { way: cell("pxname"), status: cell("status"), check: cell("check_status") };
    }).filter(({ check }) => check !== "");
  }
}

interface Row {
  readonly way: string;
  readonly status: string;
  /** `L7OK` where SMTP itself has answered. */
  readonly check: string;
}

/** haproxy accepts no port 0. All are held until the last is known, so that all differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return server;
  }));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

/** A small message by curl, from another loopback address. @throws Error with its output */
export async function sendFrom(
  source: string,
  { port, implicitTls, username, password, from, to, subject }: {
    readonly port: number;
    /** TLS from the first octet, else STARTTLS. */
    readonly implicitTls: boolean;
    readonly username: string;
    readonly password: string;
    readonly from: string;
    readonly to: string;
    readonly subject: string;
  },
): Promise<void> {
  const child = spawn("curl", [
    "--silent",
    "--show-error",
    "--insecure",
    "--ssl-reqd",
    "--interface",
    source,
    "--url",
    `${implicitTls ? "smtps" : "smtp"}://127.0.0.1:${port}`,
    "--user",
    `${username}:${password}`,
    "--mail-from",
    from,
    "--mail-rcpt",
    to,
    "--upload-file",
    "-",
  ], { stdio: ["pipe", "pipe", "pipe"], env: { PATH: "/usr/bin:/bin" } });
  const curl = new Running(child);
  child.stdin!.end(Buffer.from(
    `From: ${from}\r\nTo: ${to}\r\nSubject: ${subject}\r\n\r\nText\r\n`,
  ));
  const status = await curl.exited;
  if (status !== 0) throw new Error(`curl ended with ${status}: ${curl.stderr}`);
}
