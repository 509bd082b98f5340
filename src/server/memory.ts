// MAX_MEMORY: how much mail all connections together may hold, and in which shares.
//
// Room is taken as octets arrive. What SIZE announces is only promised: it is kept for the message
// while octets come, and lapses soon where none do. When there is no room for one more message, an
// account or an address that holds more than its share gives some up: promises first, then messages
// that are not complete or still wait for their turn. Their clients are told to try again.

import type { Memory, Reservation } from "../smtp/reservation.ts";
import type { Owner } from "../submission/submission_service.ts";

/**
 * Octets of memory for each octet of a message in flight, at most, whatever its shape: its content,
 * and what is made of it piece by piece while it is sent, until it is collected. `npm run bench --
 * memory` holds it.
 */
export const COPIES = 1.5;

/**
 * Octets taken at a time while a message arrives; and the least that one counts for, with what the relay
 * knows of it besides its octets. A message may wait for minutes when its client, which counts for
 * MAX_CONNECTIONS, has long gone: so many small ones have to have a bound of their own.
 */
const STEP = 16 * 1024;
/** Messages that there is room for, however little it is. */
const LEAST_MESSAGES = 256;
/** Milliseconds without an octet after which a promise lapses. */
export const PROMISE_MS = 2_000;
/** The part of all room that an account keeps when others want it; so do all unknown ones together. */
export const ACCOUNT_SHARE = 1 / 4;
/** The same for an address, which many accounts may share. */
export const ADDRESS_SHARE = 1 / 2;

export interface MemoryOptions {
  /** Called each time that there is no room, with the octets of memory in use. */
  readonly exhausted?: (used: number) => void;
  /** Milliseconds, of a clock that never goes back. */
  readonly now?: () => number;
}

export class MemoryBudget {
  /** Octets of mail, as all numbers below. */
  readonly #limit: number;
  /** That each message takes. */
  readonly #least: number;
  readonly #exhausted: (used: number) => void;
  readonly #now: () => number;
  readonly #accounts = new Map<string, Holder>();
  readonly #addresses = new Map<string, Holder>();
  /** Reservations with a promise, the one that has been longest without an octet first. */
  readonly #promised = new Set<Room>();
  #reserved = 0;

  /** @param limit octets of memory, not of mail */
  constructor(limit: number, { exhausted, now }: MemoryOptions = {}) {
    this.#limit = Math.floor(limit / COPIES);
    this.#least = Math.max(1, Math.min(STEP, Math.floor(this.#limit / LEAST_MESSAGES)));
    this.#exhausted = exhausted ?? (() => {});
    this.#now = now ?? (() => performance.now());
  }

  /** Octets of memory that all messages in flight take, promises included. */
  get used(): number {
    return this.#reserved * COPIES;
  }

  /** Accounts and addresses that something is remembered of. */
  get holders(): number {
    return this.#accounts.size + this.#addresses.size;
  }

  /** @param address what counts as one address (`clientKey`) */
  client(address: string): ClientMemory {
    return new ClientMemory(this, address);
  }

  /** @internal */
  open(address: string, owner: Owner | undefined, announced: number): Reservation | undefined {
    const account = owner &&
      (this.#accounts.get(owner.key) ?? new Holder(this.#accounts, owner.key, owner));
    const ofAddress = this.#addresses.get(address) ?? new Holder(this.#addresses, address);
    const room = new Room(this, account === undefined ? [ofAddress] : [ofAddress, account]);
    // Where all is full, a client that does not say how much is to come is turned away here, too.
    const needed = Math.max(announced, this.#least);
    if (!this.#find(needed, room)) return undefined;
    for (const holder of room.holders) holder.add(room);
    const ahead = Math.min(announced === 0 ? STEP : needed, STEP, this.#free);
    this.#set(room, ahead, Math.max(0, announced - ahead));
    return room;
  }

  /** @internal @returns whether so much is kept now for the message */
  expect(room: Room, octets: number): boolean {
    this.#touch(room);
    // What it was promised before may have been taken back meanwhile.
    const missing = octets - room.size;
    if (missing <= 0) return true;
    if (!this.#find(missing, room)) {
      this.close(room);
      return false;
    }
    this.#set(room, room.octets, octets - room.octets);
    return true;
  }

  /** @internal @returns whether there is room now for `octets` of the message */
  ensure(room: Room, octets: number): boolean {
    const missing = octets - room.octets;
    if (missing <= 0) return true;
    this.#touch(room);
    const fresh = missing - room.promised;
    if (fresh > 0 && !this.#find(fresh, room)) {
      this.close(room);
      return false;
    }
    // A little ahead: of what it is promised, or of what nobody has where that does not suffice.
    const ahead = fresh > 0 ? room.promised + this.#free : room.promised;
    const taken = Math.max(missing, Math.min(STEP, ahead));
    this.#set(room, room.octets + taken, Math.max(0, room.promised - taken));
    return true;
  }

  /** @internal */
  settle(room: Room, octets: number): void {
    this.#set(room, Math.min(room.octets, Math.max(octets, this.#least)), 0);
  }

  /** @internal */
  close(room: Room): void {
    this.#set(room, 0, 0);
    for (const holder of room.holders) holder.delete(room);
  }

  get #free(): number {
    return this.#limit - this.#reserved;
  }

  #set(room: Room, octets: number, promised: number): void {
    const more = octets + promised - room.size;
    room.octets = octets;
    room.promised = promised;
    this.#reserved += more;
    for (const holder of room.holders) holder.octets += more;
    this.#touch(room);
  }

  #touch(room: Room): void {
    this.#promised.delete(room);
    room.touched = this.#now();
    if (room.promised > 0) this.#promised.add(room);
  }

  /** Sees to it that so many octets are free, if need be by what others give up. */
  #find(octets: number, asker: Room): boolean {
    if (octets <= this.#free) return true;
    const late = this.#now() - PROMISE_MS;
    for (const room of this.#promised) {
      if (room.touched > late) break;
      this.#set(room, room.octets, 0);
    }
    if (octets <= this.#free || this.#takeBack(octets, asker)) return true;
    this.#exhausted(this.used);
    return false;
  }

  /** Has others give up as much as is missing; nothing where that would not be enough. */
  #takeBack(octets: number, asker: Room): boolean {
    let missing = octets - this.#free;
    const actions: (() => void)[] = [];
    const taken = new Set<Room>();
    const lapsed = new Set<Room>();
    for (const { holder, most } of this.#givers(octets, asker)) {
      let left = holder.octets - most;
      const newestFirst = [...holder.rooms].reverse();
      for (const room of newestFirst) {
        if (missing <= 0 || left <= 0) break;
        if (room.promised === 0 || lapsed.has(room)) continue;
        lapsed.add(room);
        missing -= room.promised;
        left -= room.promised;
        actions.push(() => this.#set(room, room.octets, 0));
      }
      for (const room of newestFirst) {
        if (missing <= 0 || left <= 0) break;
        if (room.giveUp === undefined || taken.has(room)) continue;
        taken.add(room);
        missing -= room.octets;
        left -= room.octets;
        actions.push(() => room.beGivenUp());
      }
      if (missing <= 0) break;
    }
    if (missing > 0) return false;
    for (const act of actions) act();
    return true;
  }

  /**
   * Who has to give something up: accounts and addresses over their share that hold more than the one
   * that asks would, the largest account first. All accounts that are not known share one share.
   */
  #givers(octets: number, { account, address }: Room): Giver[] {
    const share = this.#limit * ACCOUNT_SHARE;
    let strange = 0;
    for (const { owner, octets } of this.#accounts.values()) {
      if (owner?.known === false) strange += octets;
    }
    const mine = (account?.octets ?? 0) + octets;
    const isKnown = account?.owner?.known !== false;
    const givers: Giver[] = [];
    for (const holder of this.#accounts.values()) {
      if (holder === account) continue;
      if (holder.owner?.known !== false) {
        const most = Math.max(share, isKnown ? mine : strange + octets);
        if (holder.octets > most) givers.push({ holder, most });
      } else if (strange > share && (isKnown ? strange > mine : holder.octets > mine)) {
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

/** One that has to give up what it holds beyond `most`. */
interface Giver {
  readonly holder: Holder;
  readonly most: number;
}

/** The messages of one account or address. */
class Holder {
  octets = 0;
  /** The oldest first. */
  readonly rooms = new Set<Room>();
  readonly #all: Map<string, Holder>;

  /** @param owner undefined for an address */
  constructor(all: Map<string, Holder>, readonly key: string, readonly owner?: Owner) {
    this.#all = all;
  }

  add(room: Room): void {
    this.#all.set(this.key, this);
    this.rooms.add(room);
  }

  delete(room: Room): void {
    this.rooms.delete(room);
    if (this.rooms.size === 0 && this.#all.get(this.key) === this) this.#all.delete(this.key);
  }
}

/** One message's part. */
class Room implements Reservation {
  octets = 0;
  /** Octets kept for it besides. */
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

  #kept(room: boolean): boolean {
    this.#closed = !room;
    return room;
  }

  settle(octets: number): void {
    if (!this.#closed) this.#budget.settle(this, octets);
  }

  release(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#budget.close(this);
  }

  beGivenUp(): void {
    const { giveUp } = this;
    this.giveUp = undefined;
    this.release();
    giveUp?.();
  }
}

/** What one client may take. */
export class ClientMemory implements Memory {
  readonly #budget: MemoryBudget;
  /** What counts as one address. */
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
