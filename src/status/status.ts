// What the status page knows: a listener of events that keeps the last messages, devices and
// failures, bounded in number. It computes nothing for pages until one is open.

import type { Account } from "../accounts/account.ts";
import type { Outcome } from "../delivery/delivery.ts";
import { clientKey } from "../networks.ts";
import { type Clock, realClock } from "../clock.ts";
import { attemptsOf, mailboxOf } from "../observe/message_facts.ts";
import type {
  LimitEvent,
  LoginEvent,
  MessageEvent,
  Notify,
  QueueEvent,
  RefusedEvent,
  RelayEvent,
} from "../observe/relay_event.ts";
import { shownDetail, shownName } from "../observe/shown.ts";
import { lengthOf } from "../smtp/content.ts";
import { type DeviceName, Devices } from "./devices.ts";
import type { LiveState } from "./live_state.ts";
import { LastHour } from "./last_hour.ts";
import { loginReason, messageReason, type Reason, refusalReason } from "./reason.ts";
import { PackedRows } from "./packed_rows.ts";
import { Rows } from "./rows.ts";
import { type ServiceName, Services } from "./services.ts";
import type { Fate, LoginFailuresView, MessageView, ThrottledView } from "./view.ts";

/** Addresses whose failed logins are remembered. */
const MAX_ADDRESSES = 500;
const MAX_MAILBOXES = 200;

export interface StatusOptions {
  /** STATUS_MESSAGES. */
  readonly maxMessages: number;
  /** The services that the relay uses. */
  readonly services: readonly ServiceName[];
  readonly clock?: Pick<Clock, "date">;
}

/** A message, before its failure is explained. */
export type Message = Omit<MessageView, "failure"> & { readonly reason?: Reason };

export class Status {
  readonly startedAt: number;
  readonly hour = new LastHour();
  readonly services: Services;
  readonly devices = new Devices();
  readonly messages: PackedRows<Message>;
  /** Failed logins by address. */
  readonly logins = new Rows<LoginFailuresView>(MAX_ADDRESSES);
  readonly mailboxes = new Rows<ThrottledView>(MAX_MAILBOXES);
  /** The relay as it is now; undefined until it has started. */
  live: LiveState | undefined;
  readonly #clock: Pick<Clock, "date">;
  #version = 0;
  readonly #listeners = new Set<() => void>();

  constructor({ maxMessages, services, clock = realClock }: StatusOptions) {
    this.#clock = clock;
    this.startedAt = clock.date();
    this.services = new Services(services);
    this.messages = new PackedRows(maxMessages);
  }

  /** Of the last change. */
  get version(): number {
    return this.#version;
  }

  /** Milliseconds of Unix time. */
  get now(): number {
    return this.#clock.date();
  }

  /** A receiver of events or traces has taken some, or could not. @param failure left out if it has */
  received(
    name: "Webhook" | "Trace collector",
    failure?: { readonly code: string; readonly detail: string },
  ): void {
    const { now: at } = this;
    if (failure === undefined) this.services.succeeded(name, at);
    else this.services.failed(name, { at, ...failure }, false);
    this.#version++;
    this.#tell();
  }

  /** Calls `listener` at each change, until the returned function is called. It must take no time. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  readonly notify: Notify = (event: RelayEvent) => {
    this.#version++;
    this.services.notice(event, this.now);
    this.#note(event);
    this.#tell();
  };

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #note(event: RelayEvent): void {
    switch (event.type) {
      case "login":
        return this.#login(event);
      case "message":
        return this.#message(event);
      case "refused":
        return this.#refused(event);
      case "limit":
        return this.#limit(event);
      case "queue":
        return this.#queue(event);
    }
  }

  #login({ client: { address }, credentials, result }: LoginEvent): void {
    const now = this.now;
    const username = shownName(credentials.username);
    if ("account" in result) {
      // A login that only claims to be of an account has proved nothing.
      if (result.authorization.unverified() !== undefined) return;
      const name = { username, address, ...entryOf(result.account) };
      return this.devices.loggedIn(name, now, this.#version);
    }
    const reason = loginReason(result, now);
    this.devices.failed({ username, address }, reason, false, this.#version);
    this.#loginFailed(address, username, reason.failure.detail);
  }

  #loginFailed(address: string, username: string, reason: string, limited = false): void {
    const now = this.now;
    const key = clientKey(address);
    const before = this.logins.get(key);
    this.logins.set(key, {
      ...(before?.limited === undefined ? {} : { limited: before.limited }),
      ...(limited ? { limited: now } : {}),
      key,
      address,
      count: (before?.count ?? 0) + (limited ? 0 : 1),
      since: before?.since ?? now,
      last: now,
      username: username === "" ? before?.username ?? "" : username,
      reason: limited ? before?.reason ?? reason : reason,
    }, this.#version);
  }

  #limit({ setting, client, text }: LimitEvent): void {
    if (setting === "AUTH_RATE_LIMIT") {
      this.#loginFailed(client.address, "", shownDetail(text), true);
    }
  }

  #refused({ refusal: { command, reply }, client: { address }, principal, limit }: RefusedEvent) {
    const now = this.now;
    if (principal !== undefined && principal.authorization.unverified() === undefined) {
      const username = shownName(principal.username);
      const reason = refusalReason(reply, limit ?? `${command} ${reply.code}`, now);
      const name = { username, address, ...entryOf(principal.account) };
      this.devices.failed(name, reason, true, this.#version);
    }
    if (command === "AUTH" && reply.code === 535) {
      this.#loginFailed(address, "", refusalReason(reply, command, now).failure.detail);
    }
  }

  #message(event: MessageEvent): void {
    const now = this.now;
    const { submission, outcome, client: { address }, principal, milliseconds } = event;
    const { id, envelope: { from }, messageId, content, receivedAt } = submission;
    const username = shownName(submission.username);
    const name: DeviceName = { username, address, ...entryOf(submission.account) };
    const fate = fateOf(outcome);
    const attempts = attemptsOf(outcome, event.steps);
    const accepted = fate === "sent" || fate === "queued" || fate === "repeated";
    const mailbox = mailboxOf(outcome) ?? from;
    const sender = shownName(mailbox);
    const reason = "ambiguous" in outcome ? messageReason(outcome, mailbox, now) : undefined;
    this.hour.add(now, accepted, milliseconds);
    this.#throttling(mailbox, submission.account.clientId, event);
    this.messages.add({
      id,
      at: receivedAt,
      fate,
      sender,
      // For each message: what is not there is undefined, because that costs less than another object.
      messageId: messageId === undefined ? undefined : shownName(messageId),
      username,
      entry: name.entry,
      address,
      size: lengthOf(content),
      milliseconds: Math.round(milliseconds),
      attempts,
      requestId: "requestId" in outcome ? outcome.requestId : undefined,
      first: outcome.type === "alreadySent" ? outcome.id : undefined,
      reason,
    }, this.#version);
    if (principal.authorization.unverified() !== undefined) return;
    if (accepted) this.devices.accepted(name, fate !== "queued", now, this.#version);
    else if (reason !== undefined) this.devices.failed(name, reason, true, this.#version);
  }

  #queue(event: QueueEvent): void {
    const now = this.now;
    const { change, message: { id, size, attempts, age, record }, due, ambiguous = false } = event;
    const { code = "", detail = "", requestId } = event;
    const before = this.messages.get(id);
    const mailbox = event.mailbox ?? record?.envelope.from ?? before?.sender ?? "";
    const fate = change === "deferred" && ambiguous ? "ambiguous" : change;
    const type = change === "dead" ? "refused" : "later";
    const reason = change === "sent"
      ? undefined
      : messageReason({ type, code, detail, ambiguous }, mailbox, now);
    if (record !== undefined) this.#throttling(mailbox, record.account.clientId, event);
    const { reason: _reason, due: _due, ...kept }: Partial<Message> = before ?? {};
    const message: Message = {
      at: now - age,
      username: shownName(record?.username ?? ""),
      ...(record === undefined ? {} : entryOf(record.account)),
      address: record?.client ?? "",
      ...(record?.messageId === undefined ? {} : { messageId: shownName(record.messageId) }),
      size,
      ...kept,
      id,
      fate,
      sender: shownName(mailbox),
      attempts,
      ...(requestId === undefined ? {} : { requestId }),
      ...(due === undefined ? {} : { due }),
      ...(reason === undefined ? {} : { reason }),
    };
    // In its place among the others: it is listed by its arrival.
    this.messages.put(message, this.#version);
    if (record === undefined || record.kind === "report") return;
    const { username, address } = message;
    const name = { username, address, ...entryOf(record.account) };
    if (reason === undefined) this.devices.sent(name, now, this.#version);
    else this.devices.failed(name, reason, true, this.#version);
  }

  /** Notes that Graph has asked the relay to send less for a mailbox. */
  #throttling(mailbox: string, app: string, { steps }: Pick<MessageEvent, "steps">): void {
    let times = 0;
    for (const { result } of steps) if (result === 429) times++;
    if (times === 0) return;
    const now = this.now;
    const key = `${app} ${mailbox.toLowerCase()}`;
    const before = this.mailboxes.get(key);
    this.mailboxes.set(key, {
      key,
      mailbox: shownName(mailbox),
      app,
      count: (before?.count ?? 0) + times,
      since: before?.since ?? now,
      last: now,
    }, this.#version);
  }
}

/** The id of its entry in the lookup table. */
function entryOf({ entry }: Account): { readonly entry?: string } {
  return entry === undefined ? {} : { entry: shownName(entry.id) };
}

function fateOf(outcome: Outcome): Fate {
  switch (outcome.type) {
    case "sent":
    case "queued":
      return outcome.type;
    case "alreadySent":
      return "repeated";
    case "later":
      return outcome.ambiguous ? "ambiguous" : "deferred";
    case "refused":
      return outcome.ambiguous ? "ambiguous" : "refused";
  }
}
