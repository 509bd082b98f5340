// Relays in queue mode on one queue, and the cloud that they send to, whose Graph a test can hold up.

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { EntraOptions } from "../../src/sandbox/entra.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import {
  type Program,
  type Relay,
  run,
  type Running,
  SECRET,
  serve,
  USERNAME,
} from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

/** A message as `queue list --json` shows it, as far as tests look at it. */
export interface ListedMessage {
  readonly id: string;
  readonly state: "queued" | "sending" | "held" | "dead";
  readonly attempts: number;
  readonly code?: string;
}

export class QueueWorld {
  readonly program: Program;
  readonly cloud: CloudServer;
  readonly environment: Record<string, string>;
  readonly #clients: SmtpClient[] = [];
  readonly #running: Running[] = [];
  readonly #remove: () => void;
  readonly #gate: Gate;

  private constructor(
    program: Program,
    cloud: CloudServer,
    gate: Gate,
    environment: Record<string, string>,
    remove: () => void,
  ) {
    this.program = program;
    this.cloud = cloud;
    this.#gate = gate;
    this.environment = environment;
    this.#remove = remove;
  }

  /** @param environment further settings; without QUEUE_URL the queue is in a directory of its own */
  static async open(
    program: Program,
    environment: Record<string, string> = {},
    entra: EntraOptions = {},
  ): Promise<QueueWorld> {
    const directory = mkdtempSync(join(tmpdir(), "relay-queue-"));
    const gate = new Gate();
    const cloud = await startCloud({ entra, graph: { intercept: () => gate.passed() } });
    const settings = {
      TLS_SOURCE: "off",
      REQUIRE_TLS: "false",
      DELIVERY_MODE: "queue",
      QUEUE_URL: `sqlite:${join(directory, "queue.db")}`,
      QUEUE_KEY: newKey(),
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      GRAPH_ENDPOINT: cloud.endpoint.href,
      ...environment,
    };
    return new QueueWorld(
      program,
      cloud,
      gate,
      settings,
      () => rmSync(directory, { recursive: true, force: true }),
    );
  }

  /** Requests that Graph has begun to answer while it was held up. */
  get held(): number {
    return this.#gate.held;
  }

  /** From now on Graph answers nothing. */
  holdGraph(): void {
    this.#gate.close();
  }

  /** Graph answers again, also what it has held. */
  freeGraph(): void {
    this.#gate.open();
  }

  /** @param environment what differs */
  async start(environment: Record<string, string> = {}): Promise<Relay> {
    const relay = await serve(this.program, { ...this.environment, ...environment });
    this.#running.push(relay.running);
    return relay;
  }

  /** Runs a command to its end. @returns its exit status and output */
  async command(
    args: readonly string[],
    environment: Record<string, string> = {},
  ): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const running = run(this.program, args, { ...this.environment, ...environment });
    const status = await running.exited;
    return { status, stdout: running.stdout, stderr: running.stderr };
  }

  /** What the command says is in the queue. */
  async list(): Promise<readonly ListedMessage[]> {
    const { status, stdout, stderr } = await this.command(["queue", "list", "--json"]);
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as ListedMessage[];
  }

  /** A client that has logged in. */
  async logIn(relay: Relay, username = USERNAME, secret = SECRET): Promise<SmtpClient> {
    const client = this.client(relay);
    const reply = await client.login(username, secret);
    if (!reply.startsWith("235")) throw new Error(reply);
    return client;
  }

  client(relay: Relay): SmtpClient {
    const client = new SmtpClient(relay.smtp);
    this.#clients.push(client);
    return client;
  }

  /** Subjects of what has arrived, sorted. */
  get arrived(): string[] {
    return this.cloud.inbox.list().map(({ subject }) => subject ?? "").toSorted();
  }

  async close(): Promise<void> {
    this.freeGraph();
    for (const client of this.#clients) client.destroy();
    for (const { child, exited } of this.#running) {
      if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, "SIGKILL");
      await exited;
    }
    await this.cloud.close();
    this.#remove();
  }
}

/** Lets requests pass, or holds them. */
class Gate {
  held = 0;
  #waiting: (() => void)[] = [];
  #closed = false;

  close(): void {
    this.#closed = true;
  }

  open(): void {
    this.#closed = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async passed(): Promise<undefined> {
    if (!this.#closed) return;
    this.held++;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

export function newKey(): string {
  return randomBytes(32).toString("base64");
}

/** MAIL and RCPT. @returns the first reply that is no 250, or that to RCPT */
export async function begin(client: SmtpClient, from = "a@example.com"): Promise<string> {
  const reply = await client.say(`MAIL FROM:<${from}>`);
  return reply.startsWith("250") ? await client.say("RCPT TO:<b@example.org>") : reply;
}

/** DATA as far as 354. */
export async function beginContent(client: SmtpClient): Promise<void> {
  for (const reply of [await begin(client), await client.say("DATA")]) {
    if (!/^(?:250|354)/.test(reply)) throw new Error(reply);
  }
}

/** A content with its final dot. @param octets of its text */
export function content(subject: string, octets = 10, from = "a@example.com"): string {
  const lines = "a line of the message's text, so long\r\n".repeat(Math.ceil(octets / 39));
  return `From: <${from}>\r\nTo: <b@example.org>\r\nSubject: ${subject}\r\n\r\n${lines}.`;
}

/** A whole message. @returns the last reply */
export async function send(
  client: SmtpClient,
  subject: string,
  octets?: number,
  from = "a@example.com",
): Promise<string> {
  const reply = await begin(client, from);
  if (!reply.startsWith("250")) return reply;
  const ready = await client.say("DATA");
  return ready.startsWith("354") ? await client.say(content(subject, octets, from)) : ready;
}

/** Asks again and again until the answer is right; fails with the last answer after half a minute. */
export async function untilIs<T>(
  ask: () => T | Promise<T>,
  isRight: (answer: T) => boolean,
): Promise<T> {
  const end = performance.now() + 30_000;
  for (;;) {
    const answer = await ask();
    if (isRight(answer)) return answer;
    if (performance.now() > end) throw new Error(`it stays ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
