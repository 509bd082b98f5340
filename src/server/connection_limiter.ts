// MAX_CONNECTIONS and MAX_CONNECTIONS_PER_IP. Only the policy: no I/O, no timer and no clock of its
// own.
//
// One rule: when all slots are taken, the address with the most connections before their login loses the
// one that has gone longest without progress, unless that is less than 1.5 s. A new connection waits for
// its slot meanwhile, and addresses take turns. The 1.5 s of a connection whose address is over its limit
// begin when it was admitted, for an address within its limit: a flood may make a little progress for long.
//
// Each event costs the same however many connections there are. Sets keep the order of insertion, so
// that the first member is the one that has been there longest.

import type { Owner } from "../submission/submission_service.ts";
import { AddressGroup } from "./address_group.ts";
import { accountShare, type Activity, ConnectionShares } from "./connection_shares.ts";
import { FairQueue } from "./fair_queue.ts";
import type { EvictionReason, LimitedConnection } from "./limited_connection.ts";
import { Ranking } from "./ranking.ts";
import { ServiceClock } from "./service_clock.ts";

/** Milliseconds after each step of progress in which no other connection takes the slot. */
export const PROTECTED_MS = 1_500;
/**
 * Milliseconds without progress after which a connection is closed for any other, whatever its address,
 * and for others of its address within the address's limit.
 */
export const STALE_MS = 30_000;
/** Milliseconds that a connection waits while its address is at its limit. */
export const ADDRESS_WAIT_MS = 2_000;
/** Milliseconds that a connection waits for a slot. */
export const QUEUE_WAIT_MS = 30_000;
/** Connections that may wait by default. */
const QUEUE = 8192;

export interface ConnectionLimits {
  /** MAX_CONNECTIONS */
  readonly connections: number;
  /** MAX_CONNECTIONS_PER_IP */
  readonly perAddress: number;
  /** Connections that may wait in addition: each is an open file. */
  readonly queue?: number;
  /** Milliseconds, of a clock that never goes back. */
  readonly now?: () => number;
}

/** One connection in the limiter: waiting at first. */
export class Slot {
  state: "waiting" | "admitted" | "authenticated" | "retired" | "gone" = "waiting";
  group: AddressGroup<Slot>;
  /** When it arrived, was admitted, or last made progress. */
  since: number;
  admittedAt = Infinity;
  readonly #limiter: ConnectionLimiter;

  constructor(
    readonly connection: LimitedConnection,
    limiter: ConnectionLimiter,
    group: AddressGroup<Slot>,
    now: number,
  ) {
    this.#limiter = limiter;
    this.group = group;
    this.since = now;
  }

  /**
   * The client's address is known: `admit` or `evict` follows, at once or after a wait.
   *
   * @param key the client's address or network (`clientKey`)
   */
  identify(key: string): void {
    this.#limiter.identify(this, key);
  }

  /** The client has reached a further stage on the way to its login. */
  progress(): void {
    this.#limiter.progress(this);
  }

  /** Its login or its message is being processed: it waits for the relay, and is not evicted. */
  pin(): void {
    this.#limiter.pin(this);
  }

  /** Processing has ended without a login. */
  unpin(): void {
    this.#limiter.unpin(this);
  }

  /** @param owner the account that it has logged in to; without one, it has no share */
  authenticated(owner?: Owner): void {
    this.#limiter.authenticated(this, owner);
  }

  /** It has logged in, and now does something else. */
  setActivity(activity: Activity): void {
    this.#limiter.setActivity(this, activity);
  }

  /** It has had its last reply, or its client is gone: it keeps the slot only until it is needed. */
  retire(): void {
    this.#limiter.retire(this);
  }

  /** The connection is closed. */
  remove(): void {
    this.#limiter.remove(this);
  }
}

export class ConnectionLimiter {
  readonly #connections: number;
  readonly #perAddress: number;
  readonly #queueLimit: number;
  readonly #clock: ServiceClock;
  #closed = false;
  /** Slots taken. */
  #taken = 0;
  readonly #groups = new Map<string, AddressGroup<Slot>>();
  /** Connections whose address is not known yet. */
  readonly #unidentified = new AddressGroup<Slot>("", 0);
  readonly #queue = new FairQueue<Slot>();
  /** Connections that may be evicted before their login, longest without progress first. */
  readonly #idle = new Set<Slot>();
  readonly #byIdle = new Ranking<AddressGroup<Slot>>();
  readonly #shares: ConnectionShares<Slot>;
  /** Slots that any connection may have. */
  readonly #retired = new Set<Slot>();

  constructor({ connections, perAddress, queue = QUEUE, now }: ConnectionLimits) {
    this.#connections = connections;
    this.#perAddress = perAddress;
    this.#queueLimit = queue;
    this.#clock = new ServiceClock(now);
    this.#shares = new ConnectionShares(connections);
  }

  /** Connections that have a slot. */
  get connections(): number {
    return this.#taken;
  }

  /** Addresses with connections that have not logged in. */
  get addresses(): number {
    return this.#groups.size;
  }

  /** Connections that wait for a slot, without those whose address is unknown. */
  get queued(): number {
    return this.#queue.size - this.#unidentified.waiting.size;
  }

  /** A connection was accepted. It gets no slot before {@link Slot.identify}. */
  add(connection: LimitedConnection): Slot {
    const slot = new Slot(connection, this, this.#unidentified, this.#clock.now());
    this.#queue.add(slot, slot.group);
    this.#shorten(slot);
    return slot;
  }

  /** Admits no more connections: the server is stopping, and replies to the waiting ones. */
  close(): void {
    this.#closed = true;
  }

  /** To be called twice a second: evicts connections that waited or were idle for too long. */
  tick(): void {
    const now = this.#clock.now();
    this.#serve(now);
    for (const group of [...this.#groups.values()]) {
      this.#trim(group, now);
      if (group.isFull) this.#expire(group, now - ADDRESS_WAIT_MS, "address full");
      else this.#expire(group, now - QUEUE_WAIT_MS, "full");
    }
  }

  // The methods of Slot follow.

  identify(slot: Slot, key: string): void {
    if (slot.state !== "waiting" || slot.group !== this.#unidentified) return;
    this.#queue.delete(slot, slot.group);
    let group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, group = new AddressGroup(key, this.#perAddress));
    slot.group = group;
    slot.since = this.#clock.now();
    this.#queue.add(slot, group);
    this.#serve(slot.since);
    this.#shorten();
  }

  progress(slot: Slot): void {
    if (this.#idle.has(slot)) this.unpin(slot);
  }

  pin(slot: Slot): void {
    if (slot.state === "authenticated") this.setActivity(slot, "busy");
    this.#idle.delete(slot);
    if (slot.group.idle.delete(slot)) this.#update(slot.group);
  }

  unpin(slot: Slot): void {
    if (slot.state === "authenticated") this.setActivity(slot, "idle");
    if (slot.state !== "admitted") return;
    const { group } = slot;
    slot.since = this.#clock.now();
    for (const idle of [this.#idle, group.idle]) {
      idle.delete(slot);
      idle.add(slot);
    }
    this.#byIdle.touch(group);
    this.#update(group);
  }

  authenticated(slot: Slot, owner?: Owner): void {
    const now = this.#clock.now();
    if (slot.state === "admitted") {
      this.#forget(slot);
      slot.state = "authenticated";
      this.#taken++;
    } else if (slot.state !== "authenticated") return;
    this.#shares.add(slot, owner, slot.group.key, now);
    this.#serve(now);
  }

  setActivity(slot: Slot, activity: Activity): void {
    if (slot.state !== "authenticated") return;
    const now = this.#clock.now();
    this.#shares.setActivity(slot, activity, now);
    // It may be over its share, and no longer idle at the next tick.
    if (activity !== "busy") this.#serve(now);
  }

  retire(slot: Slot): void {
    if (slot.state !== "admitted" && slot.state !== "authenticated") return;
    this.#forget(slot);
    slot.state = "retired";
    this.#taken++;
    this.#retired.add(slot);
    this.#serve(this.#clock.now());
  }

  remove(slot: Slot): void {
    this.#forget(slot);
    this.#serve(this.#clock.now());
  }

  /** Gives free slots to waiting connections. */
  #serve(now: number): void {
    for (let group = this.#queue.next; group !== undefined; group = this.#queue.next) {
      if (this.#closed) return;
      if (this.#taken < this.#connections) {
        this.#admit(group);
        continue;
      }
      let victim = this.#nextToEvict(group, now);
      // Others need not wait for a flood whose turn it is.
      const other = victim === "later" ? this.#queue.nextWithinLimit : undefined;
      if (other !== undefined) victim = this.#nextToEvict(group = other, now);
      if (victim === "later") return;
      if (victim === "none") this.#evict(first(group.waiting)!, "full");
      else {
        this.#evict(...victim);
        if (this.#taken < this.#connections && group.mayAdmit) this.#admit(group);
      }
    }
  }

  /**
   * The connection that makes room for a new one, and why.
   *
   * @param group of the new one
   * @returns `later` if there will be one or a slot will become free; else `none`
   */
  #nextToEvict(
    group: AddressGroup<Slot>,
    now: number,
  ): readonly [Slot, EvictionReason] | "later" | "none" {
    const retired = first(this.#retired);
    if (retired !== undefined) return [retired, "retired"];
    const idlest = this.#idlest(now);
    if (idlest !== undefined) {
      const flood = idlest.group.isOverLimit && !group.isAtLimit;
      const since = flood ? idlest.admittedAt : idlest.since;
      if (now - since >= PROTECTED_MS) return [idlest, "idle"];
    }
    const address = group.key;
    // Connections before their login have a share too; over it, they take no slot from those after
    // it.
    const beforeLogin = this.#taken - this.#shares.size;
    if (beforeLogin < accountShare(this.#connections)) {
      const over = this.#shares.nextToEvict(address, now);
      if (over !== undefined) return [over, "over share"];
    }
    return beforeLogin > 0 || this.#shares.hasOverShare(address) ? "later" : "none";
  }

  /** The connection before its login that is closed next. */
  #idlest(now: number): Slot | undefined {
    const idlest = first(this.#idle);
    if (idlest === undefined || now - idlest.since >= STALE_MS) return idlest;
    return first(this.#byIdle.largest?.idle);
  }

  #admit(group: AddressGroup<Slot>): void {
    const slot = first(group.waiting)!;
    this.#queue.delete(slot, group);
    this.#taken++;
    group.admitted++;
    slot.state = "admitted";
    this.#queue.endTurn(group);
    this.unpin(slot);
    slot.admittedAt = slot.since;
    slot.connection.admit();
  }

  /**
   * Keeps the queue within its bound: the address with the most connections in it loses its first.
   *
   * @param spared a connection that may still get a slot at once
   */
  #shorten(spared?: Slot): void {
    if (this.#taken + this.#queue.size <= this.#connections + this.#queueLimit) return;
    const longest = first(this.#queue.largest?.waiting);
    if (longest !== undefined && longest !== spared) this.#evict(longest, "full");
  }

  /** Evicts idle connections for others of their address. */
  #trim(group: AddressGroup<Slot>, now: number): void {
    while (group.isOverLimit || (group.isFull && group.waiting.size > 0)) {
      const idlest = first(group.idle);
      const allowed = group.isOverLimit ? PROTECTED_MS : STALE_MS;
      if (idlest === undefined || now - idlest.since < allowed) return;
      this.#evict(idlest, "address idle");
      this.#serve(now);
    }
  }

  #expire(group: AddressGroup<Slot>, before: number, reason: EvictionReason): void {
    for (const slot of group.waiting) {
      if (slot.since > before) return;
      this.#evict(slot, reason);
    }
  }

  #evict(slot: Slot, reason: EvictionReason): void {
    this.#forget(slot);
    slot.connection.evict(reason);
  }

  /** Removes a slot from all sets. */
  #forget(slot: Slot): void {
    const { group, state } = slot;
    slot.state = "gone";
    if (state === "waiting") {
      this.#queue.delete(slot, group);
      this.#update(group);
    } else if (state === "admitted") {
      this.#taken--;
      group.admitted--;
      this.#idle.delete(slot);
      group.idle.delete(slot);
      this.#update(group);
    } else if (state !== "gone") {
      this.#taken--;
      this.#shares.delete(slot);
      this.#retired.delete(slot);
    }
  }

  /** To be called after each change of a group. */
  #update(group: AddressGroup<Slot>): void {
    this.#byIdle.resize(group, group.idle.size);
    this.#queue.update(group);
    if (group.isEmpty) this.#groups.delete(group.key);
  }
}

function first<T>(set: ReadonlySet<T> | undefined): T | undefined {
  for (const member of set ?? []) return member;
  return undefined;
}
