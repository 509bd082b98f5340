/** A queue with its worker around a mail service that a test plays, on a clock that it moves. */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Account, Authorization, LoginFailure } from "../../src/accounts/account.ts";
import { reasonNotToSend } from "../../src/delivery/before_sending.ts";
import type {
  Attempt,
  NotSent,
  Outcome,
  SendingProgress,
  Submission,
} from "../../src/delivery/delivery.ts";
import type { SentAnswer, SentQuestion } from "../../src/delivery/sent_lookup.ts";
import type { EntraRefusal } from "../../src/entra/entra_errors.ts";
import type { QueueEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { doubtPolicy } from "../../src/queue/doubt.ts";
import { FailureReports } from "../../src/queue/failure_reports.ts";
import { MessageTry } from "../../src/queue/message_try.ts";
import { QueueDelivery } from "../../src/queue/queue_delivery.ts";
import { QueueRoom } from "../../src/queue/queue_room.ts";
import { QueueWorker, type WorkerLimits } from "../../src/queue/queue_worker.ts";
import { Sealer } from "../../src/queue/sealing.ts";
import type { QueueStore } from "../../src/queue/store.ts";
import { Secret } from "../../src/secret.ts";
import type { Content } from "../../src/smtp/content.ts";
import { reply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { SCOPE } from "../support/logins.ts";
import { MemoryQueue } from "../support/memory_queue.ts";
import { ACCOUNT, accountWith, submissionOf, tokenOf } from "../support/submissions.ts";

export const DAY = 86_400_000;
export const HOUR = 3_600_000;
export const MINUTE = 60_000;

export interface WorldOptions {
  readonly mode?: "retry" | "ask" | "hold";
  readonly maxAge?: number;
  readonly limits?: Partial<WorkerLimits>;
  readonly bounce?: boolean;
  /** What the mailbox answers, one after the other; the last one stays. */
  readonly answers?: readonly SentAnswer[];
  readonly clock?: FakeClock;
  /** Of a relay that ran before. */
  readonly store?: MemoryQueue;
  readonly sealer?: Sealer;
}

export interface Message {
  readonly from?: string;
  readonly connection?: string;
  readonly secret?: string;
  readonly account?: Account;
  readonly content?: string;
  readonly recipients?: readonly string[];
}

/** The request that sends a message. */
export interface Sending {
  readonly id: string;
  readonly mailbox: string;
  readonly submission: Submission;
  readonly attempt: Attempt;
}

export type Answer = Outcome | "sent";

export function newSealer(): Sealer {
  return new Sealer([new Secret(randomBytes(32).toString("base64"))]);
}

export class World<Store extends QueueStore = MemoryQueue> {
  readonly clock: FakeClock;
  readonly store: Store;
  readonly sealer: Sealer;
  readonly worker: QueueWorker;
  readonly delivery: QueueDelivery;
  readonly events: RelayEvent[] = [];
  /** Ids in the order in which the service took them. */
  readonly sent: string[] = [];
  /** Ids in the order in which requests were begun. */
  readonly tried: string[] = [];
  readonly questions: Omit<SentQuestion, "account" | "authorization">[] = [];
  readonly warned: string[] = [];
  /** That of the last try, as it was given. */
  lastContent: Content = [];
  /** Requests under way, and the most there were at once: in all, and of one mailbox. */
  readonly active = new Map<string, number>();
  most = 0;
  mostOfMailbox = 0;
  /** How the service answers a request that was begun. */
  answer: (sending: Sending) => Answer | Promise<Answer> = () => "sent";
  /** What the service says before the request is begun, if anything. */
  refusal: (sending: Omit<Sending, "attempt">) => Outcome | undefined = () => undefined;
  /** Entra ID's answer to a secret. */
  token: (secret: string) => EntraRefusal | undefined = () => undefined;
  account: (account: Account) => Account | LoginFailure = (account) => account;
  latest: string | undefined;
  /** Secrets that Entra ID has refused while their mail was to be sent. */
  readonly refusedSecrets: string[] = [];
  /** Whether Entra ID has verified a login lately. */
  isVerified = true;
  #ids = 0;
  readonly #first: number;
  #answers: SentAnswer[];

  constructor(options: WorldOptions & { readonly own?: Store } = {}) {
    this.clock = options.clock ?? new FakeClock();
    this.clock.patient = true;
    this.store = options.own ??
      (options.store ?? new MemoryQueue(this.clock)) as unknown as Store;
    this.sealer = options.sealer ?? newSealer();
    this.#answers = [...options.answers ?? []];
    // Each relay of a store has ids of its own.
    this.#first = options.store === undefined ? 0 : 0x1000;
    const { clock, store, sealer } = this;
    const tries = new MessageTry({
      sealer,
      accounts: {
        refresh: (account) => Promise.resolve(this.account(account)),
        authorize: (_, secret) => this.#authorization(secret?.reveal() ?? "of the relay"),
        refused: (_, secret) => {
          this.refusedSecrets.push(secret.reveal());
          return Promise.resolve();
        },
        latestSecret: () =>
          Promise.resolve(this.latest === undefined ? undefined : new Secret(this.latest)),
      },
      delivery: { deliver: (submission, attempt) => this.#deliver(submission, attempt) },
      doubt: doubtPolicy({
        mode: options.mode ?? "retry",
        service: { lookUp: (question) => this.#lookUp(question) },
        forbidden: (detail) => void this.warned.push(detail),
        impossible: () => void this.warned.push("impossible"),
        clock,
      }),
      reports: options.bounce ? new FailureReports(sealer, "relay.test") : undefined,
      rules: { maxAge: options.maxAge ?? 2 * DAY, scopeOf: () => SCOPE, clock },
    });
    const limits = { mailbox: 4, octets: 64 * 1024 * 1024, ...options.limits };
    const notify = (event: RelayEvent) => void this.events.push(event);
    this.worker = new QueueWorker({ store, tries, notify, limits, clock });
    this.delivery = new QueueDelivery({
      store,
      sealer,
      room: new QueueRoom(store, { maxMessages: 100_000, maxOctets: 10 ** 10 }),
      direct: { deliver: () => Promise.reject(new Error("not to be delivered directly")) },
      credentialOf: (login) => {
        const { clientSecret: secret } = login as { readonly clientSecret?: Secret };
        return secret && { type: "secret", secret, verified: this.isVerified };
      },
      added: (mailbox) => this.worker.wake(mailbox),
    });
  }

  /** Queues a message, as its delivery does. @returns its id */
  async add(message: Message = {}): Promise<string> {
    const { from = "ann@x.test", account = ACCOUNT, secret = "secret", recipients } = message;
    const id = (this.#first + ++this.#ids).toString(16).padStart(16, "0");
    const submission: Submission = {
      ...submissionOf(account),
      id,
      envelope: { from, recipients: recipients ?? ["bea@x.test"] },
      connection: message.connection ?? `of ${id}`,
      content: [
        Buffer.from(
          message.content ?? `From: <${from}>\r\nMessage-ID: <${id}@x.test>\r\n\r\nx\r\n`,
        ),
      ],
      receivedAt: this.clock.date(),
    };
    const authorization = { ...accountWith(tokenOf("t")), clientSecret: new Secret(secret) };
    const outcome = await this.delivery.deliver(submission, { authorization });
    if (outcome.type !== "queued") throw new Error(`${outcome.reply.code}`);
    return id;
  }

  async addAll(count: number, message: Message = {}): Promise<string[]> {
    const ids: string[] = [];
    for (let i = 0; i < count; i++) ids.push(await this.add(message));
    return ids;
  }

  /** Events about queued messages, such as `held 0000000000000001 AADSTS7000215`. */
  get told(): string[] {
    return this.events.filter((event) => event.type === "queue").map(told);
  }

  queueEvents(change?: QueueEvent["change"]): QueueEvent[] {
    return this.events.filter((event) => event.type === "queue")
      .filter((event) => change === undefined || event.change === change);
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    let before = -1;
    for (let quiet = 0; quiet < 6; quiet++) {
      await setImmediate();
      const { log: { length = 0 } = [], takes = 0 } = this.store as Partial<MemoryQueue>;
      const now = length + takes + this.events.length + this.tried.length + this.questions.length;
      if (now !== before) quiet = 0;
      before = now;
    }
  }

  /** Lets time pass, in steps. */
  async pass(time: number, step = 500): Promise<void> {
    for (let left = time; left > 0; left -= step) {
      this.clock.pass(Math.min(step, left));
      await this.settle();
    }
  }

  /** Lets time pass until a condition holds. @returns milliseconds */
  async passUntil(condition: () => boolean, step = 500, most = 3 * DAY): Promise<number> {
    const start = this.clock.now();
    await this.settle();
    while (!condition()) {
      if (this.clock.now() - start > most) throw new Error("it does not happen");
      await this.pass(step, step);
    }
    return this.clock.now() - start;
  }

  async run(): Promise<void> {
    this.worker.start();
    await this.settle();
  }

  #authorization(secret: string): Authorization {
    const refusal = this.token(secret);
    return refusal === undefined ? accountWith(tokenOf(secret)) : accountWith(refusal);
  }

  #lookUp({ account: _, authorization: __, ...question }: SentQuestion): Promise<SentAnswer> {
    this.questions.push(question);
    const answer = this.#answers.length > 1 ? this.#answers.shift()! : this.#answers[0]!;
    return Promise.resolve(answer);
  }

  async #deliver(given: Submission, attempt: Attempt): Promise<Outcome> {
    // The content is discarded after the try.
    this.lastContent = given.content;
    const content = given.content.map((block) => Uint8Array.from(block));
    const submission = { ...given, content };
    const { id, account, envelope } = submission;
    const mailbox = account.fromEmail ?? envelope.from;
    const refusal = this.refusal({ id, mailbox, submission });
    if (refusal !== undefined) return refusal;
    const progress: SendingProgress = { mailbox, messageId: `<${id}@x.test>` };
    const reason = await reasonNotToSend(attempt.beforeSending!, progress);
    if (reason !== undefined) return reason;
    this.tried.push(id);
    const count = (this.active.get(mailbox) ?? 0) + 1;
    this.active.set(mailbox, count);
    const all = [...this.active.values()].reduce((sum, active) => sum + active, 0);
    this.most = Math.max(this.most, all);
    this.mostOfMailbox = Math.max(this.mostOfMailbox, count);
    try {
      const answer = await this.answer({ id, mailbox, submission, attempt });
      if (answer !== "sent") return answer;
      this.sent.push(id);
      return { type: "sent", reply: reply(250, "2.0.0", "OK") };
    } finally {
      this.active.set(mailbox, this.active.get(mailbox)! - 1);
    }
  }
}

export function told({ change, message: { id }, code, ambiguous }: QueueEvent): string {
  return `${change} ${id}${code === undefined ? "" : ` ${code}`}${ambiguous ? " ambiguous" : ""}`;
}

export function later(code: string, retryAfter?: number): NotSent {
  return {
    type: "later",
    reply: reply(451, "4.3.2", code),
    ambiguous: false,
    code,
    detail: `said ${code}`,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  };
}

export const UNREACHABLE = later("ECONNREFUSED");

export const AMBIGUOUS: NotSent = { ...later("ECONNRESET"), ambiguous: true };

export function refusal(code: string): NotSent {
  return {
    type: "refused",
    reply: reply(554, "5.6.0", code),
    ambiguous: false,
    code,
    detail: `said ${code}`,
  };
}

export function noToken(type: "later" | "refused", code: string): EntraRefusal {
  const answer = type === "later" ? reply(454, "4.7.0", code) : reply(535, "5.7.8", code);
  return { type, reply: answer, code, detail: `said ${code}` };
}
