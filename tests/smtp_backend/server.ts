/** A back end with a server in memory: no sockets, and time under the test's control. */
import { SenderRules } from "../../src/accounts/senders.ts";
import { SmtpBackend, type SmtpBackendOptions } from "../../src/smtp_backend/backend.ts";
import type {
  Conversation,
  Login,
  MailClient,
  MailServer,
  OutgoingMessage,
  SendOptions,
  SendResult,
  Stage,
} from "../../src/smtp_client/mail_client.ts";
import type { Reply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";

export const EXCHANGE_SCOPE = "https://outlook.office365.com/.default";
export const CONVERSATION: Conversation = { connections: 1, reused: false, tls: true, sent: 0 };

export interface Sending {
  readonly server: MailServer;
  readonly login: Login;
  readonly message: OutgoingMessage;
  readonly options: SendOptions;
  /** By the clock. */
  readonly at: number;
}

/** @param text of a reply, such as `550 5.1.1 No such user` */
export function said(text: string): Reply & { readonly text: string } {
  const [, code, enhanced, words = ""] = /^(\d{3})(?: ([245]\.\d+\.\d+))?(?: (.*))?$/.exec(text)!;
  return { code: Number(code), ...(enhanced === undefined ? {} : { enhanced }), text: words };
}

export function accepted(
  recipients: readonly string[],
  refused: Record<string, string> = {},
): SendResult {
  return {
    type: "accepted",
    reply: said("250 2.0.0 OK"),
    recipients: recipients.map((recipient) => ({
      recipient,
      reply: said(refused[recipient] ?? "250 2.1.5 OK"),
    })),
    conversation: CONVERSATION,
  };
}

export function refused(stage: Stage, text: string): SendResult {
  return { type: "refused", stage, reply: said(text), recipients: [], conversation: CONVERSATION };
}

export function failed(stage: Stage, code: string, ambiguous = false): SendResult {
  const message = `it broke (${stage})`;
  return {
    type: "failed",
    stage,
    code,
    message,
    ambiguous,
    recipients: [],
    conversation: CONVERSATION,
  };
}

/** Answers as the test says; else it takes each message, after some time. */
export class FakeServer implements Pick<MailClient, "send"> {
  readonly sendings: Sending[] = [];
  active = 0;
  mostActive = 0;
  /** The next answers, in order. */
  answers: SendResult[] = [];
  readonly #clock: FakeClock;
  readonly #time: number;

  /** @param time milliseconds that a message takes */
  constructor(clock: FakeClock, time = 0) {
    this.#clock = clock;
    this.#time = time;
  }

  async send(
    server: MailServer,
    login: Login,
    message: OutgoingMessage,
    options: SendOptions,
  ): Promise<SendResult> {
    this.sendings.push({ server, login, message, options, at: this.#clock.now() });
    this.mostActive = Math.max(this.mostActive, ++this.active);
    try {
      if (this.#time > 0) await new Promise<void>((end) => this.#clock.alarm(this.#time, end));
      const answer = this.answers.shift();
      const isSent = answer === undefined || answer.type === "accepted" ||
        answer.stage === "content";
      if (isSent && await options.beforeSending?.() === false) {
        return failed("content", "STOPPED");
      }
      return answer ?? accepted(message.recipients);
    } finally {
      this.active--;
    }
  }
}

export function exchangeBackend(
  client: Pick<MailClient, "send">,
  clock: FakeClock,
  options: Partial<SmtpBackendOptions> = {},
): SmtpBackend {
  return new SmtpBackend({
    id: "exchange",
    client,
    server: { hostname: "smtp.test", port: 587, tls: "starttls" },
    login: { type: "token", scope: EXCHANGE_SCOPE },
    service: { connections: 3, perMailbox: true, perMinute: 30, nullSender: false },
    message: { hostname: "relay.test", senders: new SenderRules() },
    pacingTimeout: 240_000,
    deliveryTimeout: 60_000,
    largeFrom: 4_000_000,
    stop: new AbortController().signal,
    abort: new AbortController().signal,
    clock,
    ...options,
  });
}
