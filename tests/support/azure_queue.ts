/** Relays that share a queue in Azurite, with the requests that each of them makes. */
import { Buffer } from "node:buffer";
import { randomBytes, randomUUID } from "node:crypto";
import { after, afterEach, before, beforeEach } from "node:test";
import { storageClients } from "../../src/azure/storage_clients.ts";
import type { HttpClient } from "../../src/http/client.ts";
import type { HttpFailure, HttpRequest, HttpResponse } from "../../src/http/types.ts";
import { openAzureAdministration, openAzureQueue } from "../../src/queue/azure/open.ts";
import type { AzureStoreSettings } from "../../src/queue/azure/open.ts";
import type { NewMessage, QueueStore, TakenMessage } from "../../src/queue/store.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";
import { CONNECTION_STRING } from "./azurite.ts";
import { type AzuriteStorage, startAzuriteStorage } from "./azurite_storage.ts";
import { FakeClock } from "./fake_clock.ts";
import { httpClient } from "./http.ts";

export const KEY = storageAccess.parse(CONNECTION_STRING)!;
export const DAY = 24 * 3_600_000;
export const NOBODY: ReadonlySet<string> = new Set();

/** What becomes of a request: it is sent, or not, or sent with its response lost; or it is throttled. */
export type Fate = "sent" | "lost" | "reset" | "unsent" | "busy";

/** Counts the requests of a relay, and can end them. */
export class WatchedHttp implements Pick<HttpClient, "request"> {
  /** Such as `update pointer`. */
  readonly names: string[] = [];
  readonly requests: HttpRequest[] = [];
  /** The fate of the next request of that name. */
  fate: (name: string) => Fate = () => "sent";
  killed = false;
  /** Waits before a request is sent. */
  hold: (name: string) => Promise<void> = () => Promise.resolve();
  readonly #http: HttpClient = httpClient();

  async request(request: HttpRequest): Promise<HttpResponse | HttpFailure> {
    const name = nameOf(request);
    const fate = this.killed ? "unsent" : this.fate(name);
    if (fate === "unsent") return failure("KILLED");
    this.names.push(name);
    this.requests.push(request);
    await this.hold(name);
    if (fate === "busy") {
      const headers = new Map([["x-ms-error-code", "ServerBusy"]]);
      return { type: "response", status: 503, headers, body: new Uint8Array() };
    }
    const result = await this.#http.request(request);
    if (fate === "reset") return failure("ECONNRESET");
    return fate === "lost" ? failure("LOST") : result;
  }

  /** From now on nothing is sent: as if the process were killed. */
  kill(): void {
    this.killed = true;
  }

  /** The names since the last call. */
  since(): string[] {
    return this.names.splice(0);
  }

  close(): void {
    this.#http.close();
  }
}

function failure(code: string): HttpFailure {
  return { type: "failure", sent: true, code, message: "by the test" };
}

function nameOf({ method, url }: HttpRequest): string {
  const comp = new URLSearchParams(url.search).get("comp");
  const [, , , folder, id] = url.pathname.split("/");
  if (folder === "messages" && id !== undefined && /^\d{15}-/.test(decodeURIComponent(id))) {
    if (comp !== null) return `${method} ${comp}`;
    return `${method} blob`;
  }
  if (folder === "messages") {
    if (id !== undefined) return method === "PUT" ? "update pointer" : `${method} pointer`;
    return method === "POST" ? "PUT pointer" : "receive";
  }
  return comp === null
    ? `${method} ${folder === undefined ? "whole" : folder}`
    : `${method} ${comp}`;
}

export interface Relay {
  readonly store: QueueStore;
  readonly http: WatchedHttp;
}

/** A clock whose date is the machine's when the test begins. */
class DatedClock extends FakeClock {
  readonly #begin = Date.now() - this.now();
  #ahead: number;

  constructor(ahead: number) {
    super();
    this.#ahead = ahead;
  }

  override date(): number {
    return this.#begin + this.#ahead + this.now();
  }
}

/** Opens relays and commands on one queue. They share a clock, which Azurite's goes along with. */
export class AzureQueue {
  readonly name = `q-${randomUUID()}`;
  readonly clock: FakeClock;
  readonly azurite: AzuriteStorage;
  readonly #open: { close(): Promise<void> | void }[] = [];

  constructor(azurite: AzuriteStorage) {
    this.azurite = azurite;
    this.clock = new DatedClock(azurite.ahead);
  }

  /** Lets time pass for the service first, then for the relays. @param time milliseconds */
  async pass(time: number): Promise<void> {
    await this.azurite.pass(time);
    this.clock.pass(time);
  }

  async relay(options: Partial<AzureStoreSettings> = {}): Promise<Relay> {
    const http = new WatchedHttp();
    const store = await openAzureQueue({ ...this.options(http), maxAge: 2 * DAY, ...options });
    http.since();
    this.#open.push(http);
    return { store, http };
  }

  async command(options: Partial<AzureStoreSettings> = {}) {
    const http = new WatchedHttp();
    const queue = await openAzureAdministration({ ...this.options(http), ...options });
    http.since();
    this.#open.push(queue, http);
    return { queue, http };
  }

  options(http: Pick<HttpClient, "request">) {
    const { endpoints } = this.azurite;
    return { http, endpoints, access: KEY, name: this.name, clock: this.clock };
  }

  /** A client that may do all, to look at what is stored. */
  async clients() {
    const http = httpClient();
    this.#open.push(http);
    const { endpoints, access, name } = this.options(http);
    return await storageClients({ http, endpoints, access, name });
  }

  async close(): Promise<void> {
    for (const one of this.#open.splice(0)) await one.close();
  }
}

let arrived = Date.now();

/** Of a mailbox and a connection of its own. */
export function newMessage(
  changes: Partial<NewMessage> & { octets?: Uint8Array } = {},
): NewMessage {
  const { octets = randomBytes(3000), ...facts } = changes;
  const receivedAt = arrived++;
  return {
    id: randomBytes(8).toString("hex"),
    receivedAt,
    size: Math.max(0, octets.length - 57),
    mailbox: `mailbox${receivedAt}`,
    account: "account",
    connection: `connection${receivedAt}`,
    record: randomBytes(500),
    sealedSize: octets.length,
    async *content() {
      for (let at = 0; at < octets.length; at += 262_160) {
        // A copy: it belongs to the store.
        yield await Promise.resolve(new Uint8Array(octets.subarray(at, at + 262_160)));
      }
    },
    ...facts,
  };
}

export async function octetsOf(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

/** What is there to take. */
export async function takeAll(store: QueueStore): Promise<readonly TakenMessage[]> {
  const all: TakenMessage[] = [];
  for (;;) {
    const taken = await store.take(32, NOBODY);
    if (taken.length === 0) return all;
    all.push(...taken);
  }
}

/** The note of a message that has none yet. */
export const NOTE = new Uint8Array(0);

/** Starts Azurite for a file's tests. @param use gets a new queue before each test */
export function azureQueues(use: (queue: AzureQueue) => void): void {
  let azurite: AzuriteStorage;
  let queue: AzureQueue;
  before(async () => {
    azurite = await startAzuriteStorage();
  });
  after(() => azurite.stop());
  beforeEach(() => {
    queue = new AzureQueue(azurite);
    use(queue);
  });
  afterEach(() => queue.close());
}
