// What the store holds, counted by its list, and by this relay's own changes since then.

import type { MessageFacts, MessageProgress, MessageState, Share, Usage } from "../store.ts";
import type { BlobVersion } from "./message_blob.ts";

/** Waiting messages and dead ones whose times are remembered: of each the oldest. */
const MAX_OLDEST = 1000;
/** Accounts whose messages are counted; one that finds no room counts as having nothing. */
const MAX_ACCOUNTS = 10_000;

/** Undefined before a message is added and after it is deleted. */
type Kind = MessageState | undefined;

export class Counts {
  #messages = { waiting: 0, held: 0, dead: 0 };
  #octets = 0;
  /** Receipt times by id, in order. */
  #oldest = new Map<string, number>();
  /** When messages were given up, by id, in order. */
  #dead = new Map<string, number>();
  #accounts = new Accounts();
  /** Ids of messages that this relay is sending. */
  readonly #sending = new Set<string>();
  /** Messages that were `sending` in the list. */
  #sendingElsewhere = 0;

  usage(): Usage {
    const { waiting, held, dead } = this.#messages;
    const sending = Math.min(waiting, this.#sending.size + this.#sendingElsewhere);
    const [oldest] = this.#oldest.values();
    const [oldestDead] = this.#dead.values();
    return {
      messages: { queued: waiting - sending, sending, held, dead },
      octets: this.#octets,
      oldest: waiting === 0 ? undefined : oldest,
      oldestDead: dead === 0 ? undefined : oldestDead,
      disk: undefined,
    };
  }

  share(account: string): Share {
    return this.#accounts.share(account);
  }

  /**
   * @param size octets of the blob
   * @param next undefined once it is deleted
   */
  change(
    { id, receivedAt, account }: Pick<MessageFacts, "id" | "receivedAt" | "account">,
    size: number,
    before: Kind,
    next: Pick<MessageProgress, "state" | "due"> | undefined,
  ): void {
    const after = next?.state;
    this.#add(before, -1);
    this.#add(after, 1);
    if (before === undefined) this.#octets += size;
    if (after === undefined) this.#octets = Math.max(0, this.#octets - size);
    if (before === undefined && after !== undefined) this.#accounts.add(account, 1, size);
    if (before !== undefined && after === undefined) this.#accounts.add(account, -1, -size);
    if (after === "sending") this.#sending.add(id);
    else this.#sending.delete(id);
    if (after !== "queued" && after !== "sending") this.#oldest.delete(id);
    else if (before !== "queued" && before !== "sending" && this.#oldest.size < MAX_OLDEST) {
      this.#oldest.set(id, receivedAt);
    }
    if (next?.state !== "dead") this.#dead.delete(id);
    else if (this.#dead.size < MAX_OLDEST) this.#dead.set(id, next.due);
  }

  /** Replaces everything by what a list says. */
  replace(listed: Tally): void {
    this.#messages = { ...listed.messages };
    this.#octets = listed.octets;
    this.#oldest = new Map(listed.oldest);
    this.#dead = new Map(listed.oldestDead());
    this.#accounts = listed.accounts;
    this.#sendingElsewhere = listed.sending.filter((id) => !this.#sending.has(id)).length;
  }

  #add(kind: Kind, count: number): void {
    if (kind === undefined) return;
    const name = kind === "held" || kind === "dead" ? kind : "waiting";
    // The list may have been read in the middle of a change.
    this.#messages[name] = Math.max(0, this.#messages[name] + count);
  }
}

/** What each account has. */
class Accounts {
  readonly #shares = new Map<string, { messages: number; octets: number }>();

  share(account: string): Share {
    const { messages, octets } = this.#shares.get(account) ?? { messages: 0, octets: 0 };
    return { messages, octets, isAlone: this.#shares.size === (messages > 0 ? 1 : 0) };
  }

  add(account: string, messages: number, octets: number): void {
    const share = this.#shares.get(account);
    if (share === undefined) {
      if (messages > 0 && this.#shares.size < MAX_ACCOUNTS) {
        this.#shares.set(account, { messages, octets });
      }
      return;
    }
    share.messages += messages;
    share.octets += octets;
    if (share.messages <= 0) this.#shares.delete(account);
  }
}

/** Adds up a list. */
export class Tally {
  readonly messages = { waiting: 0, held: 0, dead: 0 };
  readonly sending: string[] = [];
  readonly oldest: [id: string, receivedAt: number][] = [];
  readonly accounts = new Accounts();
  octets = 0;
  #dead: (readonly [id: string, since: number])[] = [];

  add({ entry, size }: BlobVersion): void {
    this.octets += size;
    const { id, receivedAt, account, state, due } = entry;
    this.accounts.add(account, 1, size);
    if (state === "held" || state === "dead") {
      this.messages[state]++;
      if (state === "dead") this.#addDead(id, due);
      return;
    }
    this.messages.waiting++;
    if (state === "sending" && this.sending.length < MAX_OLDEST) this.sending.push(id);
    if (this.oldest.length < MAX_OLDEST) this.oldest.push([id, receivedAt]);
  }

  /** When messages were given up, in order. */
  oldestDead(): readonly (readonly [id: string, since: number])[] {
    return this.#dead.sort(([, a], [, b]) => a - b).slice(0, MAX_OLDEST);
  }

  /** The list is in order of arrival. */
  #addDead(id: string, since: number): void {
    this.#dead.push([id, since]);
    if (this.#dead.length >= 2 * MAX_OLDEST) this.#dead = [...this.oldestDead()];
  }
}
