/**
 * A relay with a queue in SQLite, from the login to the request, around an imitated cloud and on a clock
 * that the test moves.
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { HttpClient } from "../../src/http/client.ts";
import { createLog } from "../support/log.ts";
import type { RelayEvent } from "../../src/observe/relay_event.ts";
import { openSqliteQueue } from "../../src/queue/sqlite/sqlite_queue.ts";
import type { QueueStore, TakenMessage } from "../../src/queue/store.ts";
import { RelayQueue } from "../../src/relay/queue.ts";
import { buildSubmissions, type Submissions } from "../../src/relay/submission.ts";
import { Secret } from "../../src/secret.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import type { Credentials } from "../../src/smtp/sasl.ts";
import type { Client, Principal } from "../../src/submission/submission_service.ts";
import { TENANT } from "../support/logins.ts";
import { plainSettings } from "../support/settings.ts";
import { SteppingClock } from "../support/stepping_clock.ts";
import { WaitingTestClient } from "../support/waiting_client.ts";
import { OutageCloud } from "./outage_cloud.ts";
import { directory } from "./sqlite/support.ts";

const MIB = 1024 * 1024;

/** Apps; each has its share of the mailboxes. */
const APPS = 5;
/** Messages that are submitted at the same time. */
const CLIENTS = 200;
/** Of so many mailboxes, one sends all of its mail over one connection. */
const ONE_CONNECTION = 5;
/** The subject of a message that is not queued. */
const DIRECTLY = "directly";

export interface OutageOptions {
  readonly mailboxes: number;
  /** Octets of a message. */
  readonly size: number;
}

/** What has become of the messages of a mailbox. */
interface Mailbox {
  readonly address: string;
  readonly app: string;
  /** How many were acknowledged. */
  queued: number;
  /** Numbers of its messages in the order in which Graph took them. */
  readonly arrived: number[];
}

/** MiB, after a garbage collection. */
export interface Memory {
  readonly heap: number;
  readonly resident: number;
}

export class OutageWorld {
  readonly clock = new SteppingClock();
  readonly cloud = new OutageCloud(this.clock);
  readonly mailboxes: readonly Mailbox[];
  /** How often something has happened, such as `queue deferred`. */
  readonly told = new Map<string, number>();
  /** Queued messages that have arrived. */
  arrived = 0;
  readonly #size: number;
  readonly #byAddress: ReadonlyMap<string, Mailbox>;
  readonly #place = directory();
  readonly #principals = new Map<string, Principal>();
  #queue: RelayQueue | undefined;
  #submissions: Submissions | undefined;
  #store: QueueStore | undefined;
  #connections = 0;

  constructor({ mailboxes, size }: OutageOptions) {
    this.#size = size;
    this.mailboxes = Array.from({ length: mailboxes }, (_, index) => ({
      address: `printer${index}@x.test`,
      app: appOf(index % APPS),
      queued: 0,
      arrived: [],
    }));
    this.#byAddress = new Map(this.mailboxes.map((mailbox) => [mailbox.address, mailbox]));
    this.cloud.arrived = ({ mailbox, subject }) => {
      if (subject === DIRECTLY) return;
      this.#byAddress.get(mailbox)!.arrived.push(Number(subject));
      this.arrived++;
    };
  }

  /** A relay with an empty queue. */
  async start(): Promise<void> {
    const { clock, cloud } = this;
    const settings = plainSettings({
      DELIVERY_MODE: "queue",
      QUEUE_URL: `sqlite:${join(this.#place.path, "queue.db")}`,
      QUEUE_KEY: randomBytes(32).toString("base64"),
      AUTH_MECHANISMS: "PLAIN,XOAUTH2",
      // As the imitated Entra ID's tokens: MSAL has the machine's clock.
      TOKEN_CACHE_MAX_AGE: "24h",
    });
    const notify = (event: RelayEvent) => {
      const name = event.type === "queue" ? `queue ${event.change}` : event.type;
      this.told.set(name, (this.told.get(name) ?? 0) + 1);
      if (event.type === "fault") console.error(event.error);
    };
    const log = createLog({ level: "ERROR", format: "text", write: () => {} });
    const http = cloud.http as unknown as HttpClient;
    const queue = await RelayQueue.open({ settings, http, notify, log, clock }, async () => {
      const store = await openSqliteQueue(join(this.#place.path, "queue.db"), { clock });
      return this.#store = timeless(store, clock);
    });
    this.#queue = queue;
    this.#submissions = buildSubmissions({
      settings,
      http,
      notify,
      entries: undefined,
      queue,
      clock,
    });
    this.#submissions.start();
    for (let app = 0; app < APPS; app++) {
      const name = appOf(app);
      this.#principals.set(name, await this.logIn(name));
    }
  }

  /** Logs in with a client secret. */
  logIn(app: string): Promise<Principal> {
    const username = `${TENANT}@${app}`;
    return this.#logIn({ mechanism: "PLAIN", username, password: new Secret("a secret of it") });
  }

  /** Logs in with a client secret, and queues a message. @returns milliseconds that it takes in all */
  async queueOne(index: number): Promise<number> {
    const begun = this.clock.now();
    const mailbox = this.mailboxes[index]!;
    const principal = await this.logIn(mailbox.app);
    const number = mailbox.queued++;
    const reply = await this.clock.passUntil(
      this.#submit(principal, mailbox.address, `${number}`, this.#connectionOf(index)),
    );
    if (!reply.startsWith("250 2.0.0 OK: queued as ")) throw new Error(reply);
    return this.clock.now() - begun;
  }

  /**
   * Logs in with a token of the client's own, and sends a message with it, which is not queued.
   *
   * @returns milliseconds that it takes in all
   */
  async sendDirectly(mailbox: string): Promise<number> {
    const begun = this.clock.now();
    const token = new Secret(OutageCloud.token(appOf(0), TENANT));
    const principal = await this.#logIn({ mechanism: "XOAUTH2", username: mailbox, token });
    const reply = await this.clock.passUntil(this.#submit(principal, mailbox, DIRECTLY));
    if (!reply.startsWith("250 2.0.0 OK id=")) throw new Error(reply);
    return this.clock.now() - begun;
  }

  /** Submits so many messages, in turn for each mailbox. */
  async queue(messages: number): Promise<void> {
    let left = messages;
    await Promise.all(Array.from({ length: CLIENTS }, async () => {
      while (left > 0) {
        const mailbox = this.mailboxes[--left % this.mailboxes.length]!;
        const number = mailbox.queued++;
        const principal = this.#principals.get(mailbox.app)!;
        const connection = this.#connectionOf(this.mailboxes.indexOf(mailbox));
        const reply = await this.#submit(principal, mailbox.address, `${number}`, connection);
        if (!reply.startsWith("250 2.0.0 OK: queued as ")) throw new Error(reply);
      }
    }));
  }

  /** How many messages the queue holds, by state; a second old at most. */
  get held() {
    return this.#store!.usage().messages;
  }

  async stop(): Promise<void> {
    if (this.#submissions !== undefined) await this.clock.passUntil(this.#submissions.drain());
    await this.#queue?.close();
    this.#place.remove();
  }

  async #logIn(credentials: Credentials): Promise<Principal> {
    const client = this.#client();
    const login = this.#submissions!.service.authenticate(credentials, client);
    const { principal, reply } = await this.clock.passUntil(login);
    if (principal === undefined) throw new Error(formatReply(reply));
    return principal;
  }

  async #submit(
    principal: Principal,
    from: string,
    subject: string,
    connection?: string,
  ): Promise<string> {
    const head = `From: <${from}>\r\nTo: <bea@x.test>\r\nSubject: ${subject}\r\n\r\n`;
    const text = "A page of text.\r\n".repeat(Math.ceil((this.#size - head.length) / 17));
    const reply = await this.#submissions!.service.submit(principal, {
      envelope: { from, recipients: ["bea@x.test"] },
      content: [Buffer.from(head + text)],
      facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false },
      client: this.#client(connection),
      receiving: 0,
    }, new WaitingTestClient());
    return formatReply(reply).trim();
  }

  #connectionOf(index: number): string | undefined {
    return index % ONE_CONNECTION === 0 ? `of ${index}` : undefined;
  }

  #client(connection = `connection ${++this.#connections}`): Client {
    return { connection, address: "192.0.2.7", port: 1025 };
  }
}

function appOf(index: number): string {
  return `aaaaaaaa-bbbb-4ccc-8ddd-00000000000${index}`;
}

/** A store whose work takes no time of the clock. */
function timeless(store: QueueStore, clock: SteppingClock): QueueStore {
  const message = (taken: TakenMessage): TakenMessage => ({
    stored: taken.stored,
    async *content() {
      const pieces = taken.content()[Symbol.asyncIterator]();
      for (;;) {
        const { done, value } = await clock.during(pieces.next());
        if (done) return;
        yield value;
      }
    },
    sending: (attempts, note) => clock.during(taken.sending(attempts, note)),
    remove: (recovered) => clock.during(taken.remove(recovered)),
    giveBack: (progress, pause) => clock.during(taken.giveBack(progress, pause)),
  });
  return {
    add: (added) => clock.during(store.add(added)),
    async take(limit, busy) {
      return (await clock.during(store.take(limit, busy))).map(message);
    },
    usage: () => store.usage(),
    share: (account) => clock.during(store.share(account)),
    notes: {
      get: (key) => clock.during(store.notes.get(key)),
      set: (key, value, until) => clock.during(store.notes.set(key, value, until)),
    },
    close: () => store.close(),
  };
}

/** What is in use once what is not needed any more is gone. */
export async function memory(): Promise<Memory> {
  let least = { heap: Infinity, resident: Infinity };
  for (let time = 0; time < 5; time++) {
    collectGarbage();
    await setTimeout(20);
    const { heapUsed, external, rss } = process.memoryUsage();
    least = {
      heap: Math.min(least.heap, (heapUsed + external) / MIB),
      resident: Math.min(least.resident, rss / MIB),
    };
  }
  return least;
}

function collectGarbage(): void {
  if ("Bun" in globalThis) {
    (globalThis as unknown as { readonly Bun: { gc(force: true): void } }).Bun.gc(true);
    return;
  }
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}
