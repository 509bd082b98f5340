// MAX_MEMORY: limits the memory of all messages in flight, and gives accounts and addresses a
// share.
//
// Memory is taken as octets arrive. The announced SIZE is only a promise: it is kept for the
// message while octets come, and lapses soon after the last one. If there is no memory for one more
// message, an account or an address over its share loses some: promises first, then messages that
// are not complete or still wait for their turn. Their clients get a reply to try again.

import type { Memory, Reservation } from "../smtp/reservation.ts";
import type { Owner } from "../submission/submission_service.ts";

/**
 * Octets of memory for each octet of any message in flight, at most: its content, and the pieces
 * that are made from it while it is sent, until they are collected. `npm run bench -- memory`
 * checks it.
 */
export const COPIES = 1.5;

/**
 * Octets taken at a time while a message arrives, and the least that a message counts, because the
 * relay keeps more than its octets. A message may wait for minutes after its client has gone and no
 * longer counts for MAX_CONNECTIONS, so many small messages need a bound of their own.
 */
const STEP = 16 * 1024;
/** Messages that fit, however small MAX_MEMORY is. */
const MIN_MESSAGES = 256;
/** Milliseconds without an octet after which a promise lapses. */
export const PROMISE_MS = 2_000;
/**
 * The part of all memory that an account may keep when others need memory. All unknown accounts
 * together have one such part.
 */
export const ACCOUNT_SHARE = 1 / 4;
/** The same for an address, which may have many accounts. */
export const ADDRESS_SHARE = 1 / 2;

export interface MemoryOptions {
  /** Called whenever memory is not enough, with the octets in use. */
  readonly exhausted?: (used: number) => void;
  /** Milliseconds, of a clock that never goes back. */
  readonly now?: () => number;
}

export class MemoryBudget {
  /** Octets of mail, as all numbers below. */
  readonly #limit: number;
  /** Octets that each message counts at least. */
  readonly #minimum: number;
  readonly #exhausted: (used: number) => void;
  readonly #now: () => number;
  readonly #accounts = new Map<string, Holder>();
  readonly #addresses = new Map<string, Holder>();
  /** Messages with a promise, longest without an octet first. */
  readonly #promised = new Set<MessageMemory>();
  /** Called once, when memory is next released. */
  readonly #awaiting = new Set<() => void>();
  #reserved = 0;

  /** @param limit octets of memory, not of mail */
  constructor(limit: number, { exhausted, now }: MemoryOptions = {}) {
    this.#limit = Math.floor(limit / COPIES);
    this.#minimum = Math.max(1, Math.min(STEP, Math.floor(this.#limit / MIN_MESSAGES)));
    this.#exhausted = exhausted ?? (() => {});
    this.#now = now ?? (() => performance.now());
  }

  /** Octets of memory, as it was made with. */
  get limit(): number {
    return this.#limit * COPIES;
  }

  /** Octets of memory of all messages in flight, promises included. */
  get used(): number {
    return this.#reserved * COPIES;
  }

  /** Accounts and addresses with messages. */
  get holders(): number {
    return this.#accounts.size + this.#addresses.size;
  }

  /** @param address the client's address or network (`clientKey`) */
  client(address: string): ClientMemory {
    return new ClientMemory(this, address);
  }

  /** Calls back once, when memory is next released. @returns cancels it */
  onRelease(run: () => void): () => void {
    this.#awaiting.add(run);
    return () => this.#awaiting.delete(run);
  }

  /** @internal @param urgent whether others may lose memory for it; if there is not enough, that is reported */
  open(
    address: string,
    owner: Owner | undefined,
    announced: number,
    urgent = true,
  ): Reservation | undefined {
    const account = owner &&
      (this.#accounts.get(owner.key) ?? new Holder(this.#accounts, owner.key, owner));
    const ofAddress = this.#addresses.get(address) ?? new Holder(this.#addresses, address);
    const message = new MessageMemory(
      this,
      account === undefined ? [ofAddress] : [ofAddress, account],
    );
    // If memory is full, a client that announces no size is refused here too.
    const needed = Math.max(announced, this.#minimum);
    if (!this.#find(needed, message, urgent)) return undefined;
    for (const holder of message.holders) holder.add(message);
    const ahead = Math.min(announced === 0 ? STEP : needed, STEP, this.#free);
    this.#set(message, ahead, Math.max(0, announced - ahead));
    return message;
  }

  /** @internal @returns whether so many octets are now promised to the message */
  expect(message: MessageMemory, octets: number): boolean {
    this.#touch(message);
    // An earlier promise may have been withdrawn meanwhile.
    const missing = octets - message.size;
    if (missing <= 0) return true;
    if (!this.#find(missing, message)) {
      this.close(message);
      return false;
    }
    this.#set(message, message.octets, octets - message.octets);
    return true;
  }

  /** @internal @returns whether the message now has memory for `octets` */
  ensure(message: MessageMemory, octets: number): boolean {
    const missing = octets - message.octets;
    if (missing <= 0) return true;
    this.#touch(message);
    const fresh = missing - message.promised;
    if (fresh > 0 && !this.#find(fresh, message)) {
      this.close(message);
      return false;
    }
    // Takes a little in advance, from its promise or else from free memory.
    const ahead = fresh > 0 ? message.promised + this.#free : message.promised;
    const taken = Math.max(missing, Math.min(STEP, ahead));
    this.#set(message, message.octets + taken, Math.max(0, message.promised - taken));
    return true;
  }

  /** @internal */
  settle(message: MessageMemory, octets: number): void {
    this.#set(message, Math.min(message.octets, Math.max(octets, this.#minimum)), 0);
  }

  /** @internal */
  close(message: MessageMemory): void {
    this.#set(message, 0, 0);
    for (const holder of message.holders) holder.delete(message);
  }

  get #free(): number {
    return this.#limit - this.#reserved;
  }

  #set(message: MessageMemory, octets: number, promised: number): void {
    const more = octets + promised - message.size;
    message.octets = octets;
    message.promised = promised;
    this.#reserved += more;
    for (const holder of message.holders) holder.octets += more;
    this.#touch(message);
    if (more >= 0 || this.#awaiting.size === 0) return;
    const awaiting = [...this.#awaiting];
    this.#awaiting.clear();
    for (const run of awaiting) run();
  }

  #touch(message: MessageMemory): void {
    this.#promised.delete(message);
    // Most messages are not announced.
    if (message.promised === 0) return;
    message.touched = this.#now();
    this.#promised.add(message);
  }

  /** Frees so many octets, if necessary by taking them from others. */
  #find(octets: number, asker: MessageMemory, urgent = true): boolean {
    if (octets <= this.#free) return true;
    const late = this.#now() - PROMISE_MS;
    for (const message of this.#promised) {
      if (message.touched > late) break;
      this.#set(message, message.octets, 0);
    }
    if (octets <= this.#free) return true;
    if (!urgent) return false;
    if (this.#takeBack(octets, asker)) return true;
    this.#exhausted(this.used);
    return false;
  }

  /** Takes the missing octets from others; nothing if that is not enough. */
  #takeBack(octets: number, asker: MessageMemory): boolean {
    let missing = octets - this.#free;
    const actions: (() => void)[] = [];
    const taken = new Set<MessageMemory>();
    const lapsed = new Set<MessageMemory>();
    for (const { holder, most } of this.#givers(octets, asker)) {
      let left = holder.octets - most;
      const newestFirst = [...holder.messages].reverse();
      for (const message of newestFirst) {
        if (missing <= 0 || left <= 0) break;
        if (message.promised === 0 || lapsed.has(message)) continue;
        lapsed.add(message);
        missing -= message.promised;
        left -= message.promised;
        actions.push(() => this.#set(message, message.octets, 0));
      }
      for (const message of newestFirst) {
        if (missing <= 0 || left <= 0) break;
        if (message.giveUp === undefined || taken.has(message)) continue;
        taken.add(message);
        missing -= message.octets;
        left -= message.octets;
        actions.push(() => message.surrender());
      }
      if (missing <= 0) break;
    }
    if (missing > 0) return false;
    for (const act of actions) act();
    return true;
  }

  /**
   * The accounts and addresses over their share that would still hold more than the asking one, the
   * largest account first. All unknown accounts have one share together.
   */
  #givers(octets: number, { account, address }: MessageMemory): Giver[] {
    const share = this.#limit * ACCOUNT_SHARE;
    let unknown = 0;
    for (const { owner, octets } of this.#accounts.values()) {
      if (owner?.known === false) unknown += octets;
    }
    const mine = (account?.octets ?? 0) + octets;
    const isKnown = account?.owner?.known !== false;
    const givers: Giver[] = [];
    for (const holder of this.#accounts.values()) {
      if (holder === account) continue;
      if (holder.owner?.known !== false) {
        const most = Math.max(share, isKnown ? mine : unknown + octets);
        if (holder.octets > most) givers.push({ holder, most });
      } else if (unknown > share && (isKnown ? unknown > mine : holder.octets > mine)) {
        givers.push({ holder, most: isKnown ? 0 : mine });
      }
    }
    givers.sort((a, b) => b.holder.octets - a.holder.octets);
    const most = Math.max(this.#limit * ADDRESS_SHARE, address.octets + octets);
    for (const holder of this.#addresses.values()) {
      if (holder !== address && holder.octets > most) givers.push({ holder, most });
    }
    return givers;
  }
}

/** A holder that must give up its octets beyond `most`. */
interface Giver {
  readonly holder: Holder;
  readonly most: number;
}

/** The messages of one account or address. */
class Holder {
  octets = 0;
  /** The oldest first. */
  readonly messages = new Set<MessageMemory>();
  readonly #all: Map<string, Holder>;

  /** @param owner undefined for an address */
  constructor(all: Map<string, Holder>, readonly key: string, readonly owner?: Owner) {
    this.#all = all;
  }

  add(message: MessageMemory): void {
    this.#all.set(this.key, this);
    this.messages.add(message);
  }

  delete(message: MessageMemory): void {
    this.messages.delete(message);
    if (this.messages.size === 0 && this.#all.get(this.key) === this) this.#all.delete(this.key);
  }
}

/** The memory of one message. */
class MessageMemory implements Reservation {
  octets = 0;
  /** Octets kept for it in addition. */
  promised = 0;
  touched = 0;
  giveUp: (() => void) | undefined;
  readonly #budget: MemoryBudget;
  #closed = false;

  constructor(budget: MemoryBudget, readonly holders: readonly Holder[]) {
    this.#budget = budget;
  }

  get size(): number {
    return this.octets + this.promised;
  }

  get address(): Holder {
    return this.holders[0]!;
  }

  get account(): Holder | undefined {
    return this.holders[1];
  }

  expect(octets: number): boolean {
    return this.#kept(!this.#closed && this.#budget.expect(this, octets));
  }

  ensure(octets: number): boolean {
    return this.#kept(!this.#closed && this.#budget.ensure(this, octets));
  }

  #kept(message: boolean): boolean {
    this.#closed = !message;
    return message;
  }

  settle(octets: number): void {
    if (!this.#closed) this.#budget.settle(this, octets);
  }

  release(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#budget.close(this);
  }

  surrender(): void {
    const { giveUp } = this;
    this.giveUp = undefined;
    this.release();
    giveUp?.();
  }
}

/** The memory of one client. */
export class ClientMemory implements Memory {
  readonly #budget: MemoryBudget;
  /** The client's address or network (`clientKey`). */
  address: string;
  /** The account that it has logged in to. */
  owner: Owner | undefined;

  constructor(budget: MemoryBudget, address: string) {
    this.#budget = budget;
    this.address = address;
  }

  open(announced: number): Reservation | undefined {
    return this.#budget.open(this.address, this.owner, announced);
  }
}
