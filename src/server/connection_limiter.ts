// Who may stay: MAX_CONNECTIONS and MAX_CONNECTIONS_PER_IP. Policy alone: no I/O, no timer and no
// clock of its own.
//
// A place is free for everybody until there are too many. What then decides is progress: whoever has
// been longest without any gives way. Each event costs the same however many connections there are;
// sets keep the order in which their members came, so that the first one is the longest there.

import { FairQueue } from "./fair_queue.ts";
import type { Owner } from "../submission/submission_service.ts";
import { accountShare, type Activity, ConnectionShares } from "./connection_shares.ts";
import { Ranking } from "./ranking.ts";

/** Milliseconds for which a client over its address's limit waits for a place. */
export const HOLD_MS = 2_000;
/** Milliseconds without progress after which a client gives way to one that is held. */
export const STALE_MS = 30_000;
/** Milliseconds of its own that a client on probation has to log in. */
export const PROBATION_MS = 3_000;
/** Milliseconds in which so many come over the limit that it is a flood; see {@link floodOf}. */
export const FLOOD_WINDOW_MS = 10_000;
/** Milliseconds without progress that everybody has before another may take the place… */
export const STAY_MS = 1_500;
/** Milliseconds that a client over its share has at least from its login on; a message needs fewer. */
export const SETTLED_MS = 500;
/**
 * … but where there is no queue, so many a second: a tenth of all places, and where there are few, this.
 */
const FORCED = 16;
/**
 * When there is a queue, and even the client that has been longest without progress made some within so
 * many milliseconds, they come in a rush. Then the address that has most of them makes room, not one
 * that has a single one.
 */
export const CONTENTION_MS = 10_000;
/** Milliseconds in the queue after which a client is refused. */
export const QUEUE_MS = 30_000;
/** Clients in the queue, if nobody says otherwise. */
const QUEUE = 8192;
/**
 * Milliseconds from one event to the next that count at most. There is one every half second, the look;
 * what is more has been our own slowness, and not that of clients whose octets nobody has read.
 */
const LARGEST_STEP_MS = 600;

/** Clients over an address's limit in {@link FLOOD_WINDOW_MS} beyond which it is a flood. */
export function floodOf(limit: number): number {
  return 2 * limit + 64;
}

/** Why a client has to go. */
export type EvictionReason =
  /** All places are taken, and by clients that have logged in, or others are before it: none is left. */
  | "full"
  /** It has been longest without progress, and a new one needs a place. */
  | "makes room"
  /** Its address has no place for it, and had none while it waited. */
  | "crowded"
  /** It has stood still, and another one of its address needs its place. */
  | "gives way"
  /** Its address floods us, and it has not logged in fast enough. */
  | "probation"
  /** It has logged in, and its account or address holds more than its share. */
  | "over share"
  /** It has had its last reply, or its client is gone: it held the place only while nobody wanted it. */
  | "retired";

/** A connection as admission knows it. Neither method may throw. */
export interface LimitedConnection {
  /** It may go on: by a greeting, or TLS. */
  admit(): void;
  /** It has to go. Its place is not counted any more. */
  evict(why: EvictionReason): void;
}

export interface ConnectionLimits {
  /** MAX_CONNECTIONS */
  readonly connections: number;
  /** MAX_CONNECTIONS_PER_IP */
  readonly perAddress: number;
  /** Connections besides that may queue up for a place: each is an open file. */
  readonly queue?: number;
  /** Milliseconds, of a clock that never goes back. */
  readonly now?: () => number;
}

/** Those of one address that have not logged in. */
class AddressGroup {
  /** All of them. */
  members = 0;
  /** Those that count for the limit: neither held nor on probation. */
  seats = 0;
  /** Of those, the ones whose login is not being checked, by their last progress. */
  readonly idle = new Set<Slot>();
  readonly held = new Set<Slot>();
  /** Those that may have to make room: on probation, and the others, by their last progress. */
  readonly probation = new Set<Slot>();
  readonly waiting = new Set<Slot>();
  /** Clients over the limit: since `bucket`, and in the time as long before that. */
  over = 0;
  overBefore = 0;
  bucket = -Infinity;

  constructor(readonly key: string) {}
}

type State =
  | "queued"
  | "arrived"
  | "held"
  | "seated"
  | "probation"
  | "authenticated"
  | "retired"
  | "gone";

/** One connection's place, as long as it has one. */
export class Slot {
  state: State = "queued";
  /** What counts as one client, once that is known. */
  key: string | undefined;
  group: AddressGroup | undefined;
  /** When it came, or made progress last. */
  since: number;
  /** Milliseconds that are left of its probation. */
  left = PROBATION_MS;
  readonly #limiter: ConnectionLimiter;

  constructor(readonly connection: LimitedConnection, limiter: ConnectionLimiter, now: number) {
    this.#limiter = limiter;
    this.since = now;
  }

  /**
   * The client's address is known, and it wants to be served: `welcome` or `dismiss` follow, at once or
   * after a while.
   *
   * @param key what counts as one client (`clientKey`)
   */
  identify(key: string): void {
    this.key = key;
    this.#limiter.identify(this);
  }

  /** It has reached a further stage on the way to its login. */
  progress(): void {
    this.#limiter.progress(this);
  }

  /** Its login is being checked, or a message: it waits for us, and gives way to nobody. */
  pin(): void {
    this.#limiter.pin(this);
  }

  /** The check has ended, and has proved nothing. */
  unpin(): void {
    this.#limiter.unpin(this);
  }

  /** @param owner the account that it has logged in to; left out, no share is kept for it */
  authenticated(owner?: Owner): void {
    this.#limiter.authenticated(this, owner);
  }

  /** It has logged in, and does something else from now on. */
  setActivity(activity: Activity): void {
    this.#limiter.setActivity(this, activity);
  }

  /** It has had its last reply, or its client is gone: anybody may have the place. */
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
  readonly #now: () => number;
  #count = 0;
  #closed = false;
  /** Those that wait until somebody has had the time for progress, an address after the other… */
  readonly #queue = new FairQueue<Slot>();
  /** … and behind them, those of addresses that flood us. */
  readonly #floodQueue = new FairQueue<Slot>();
  /** Those that queue up, too, once it is known for whom; the longest first. */
  readonly #unidentified = new Set<Slot>();
  /** Places taken in the second from `hurriedSince` on from those that had not had that time. */
  #forcedEvictions = 0;
  #forcedSince = -Infinity;
  /** Those that may have to make room, by their last progress: all that have not logged in… */
  readonly #waiting = new Set<Slot>();
  /** … and before them, those on probation. */
  readonly #probation = new Set<Slot>();
  /** All that are held, the longest first. */
  readonly #held = new Set<Slot>();
  readonly #shares: ConnectionShares<Slot>;
  /** Those whose place anybody may have. */
  readonly #retired = new Set<Slot>();
  readonly #groups = new Map<string, AddressGroup>();
  /** Crowds that some of their clients are held for. */
  readonly #holding = new Set<AddressGroup>();
  /** Crowds by how many of theirs may have to make room. */
  readonly #bySize = new Ranking<AddressGroup>();
  /** Crowds that remember how many came over the limit, the latest last. */
  readonly #counting = new Set<AddressGroup>();
  /** Time as it counts for clients, and what the clock said at the last event. */
  #counted = 0;
  #real: number;
  #lastTick = 0;

  constructor(options: ConnectionLimits) {
    const { connections, perAddress, queue = QUEUE, now = () => performance.now() } = options;
    this.#connections = connections;
    this.#perAddress = perAddress;
    this.#queueLimit = queue;
    this.#now = now;
    this.#real = now();
    this.#shares = new ConnectionShares(connections);
  }

  /** Connections that have a place. */
  get connections(): number {
    return this.#count;
  }

  /** Addresses that something is remembered of. */
  get addresses(): number {
    return this.#groups.size;
  }

  /** Connections that queue up for a place. */
  get queued(): number {
    return this.#queue.size + this.#floodQueue.size + this.#unidentified.size;
  }

  /**
   * A connection was accepted: it takes a place, if need be somebody else's.
   *
   * @param key as in {@link Slot.identify}, where it is known already
   */
  add(connection: LimitedConnection, key?: string): Slot {
    const now = this.#time();
    const slot = new Slot(connection, this, now);
    // Nobody has to go for it before it is known whether it is one of a flood.
    const unidentified = key === undefined && this.#count >= this.#connections;
    if (unidentified && this.queued < this.#queueLimit) this.#unidentified.add(slot);
    else this.#line(slot, key ?? "", now);
    return slot;
  }

  identify(slot: Slot): void {
    if (slot.key === undefined) return;
    // While it queues up, it only has to be remembered; and now it is known whose turn it waits for.
    if (this.#queue.has(slot)) return this.#queue.add(slot, slot.key);
    if (this.#unidentified.delete(slot)) this.#line(slot, slot.key, this.#time());
    if (slot.state !== "arrived") return;
    const group = this.#groupOf(slot.key);
    slot.group = group;
    group.members++;
    if (group.seats < this.#perAddress && group.held.size === 0) return this.#seat(slot, group);
    const now = this.#time();
    slot.state = "held";
    slot.since = now;
    group.held.add(slot);
    this.#held.add(slot);
    this.#holding.add(group);
    group.waiting.add(slot);
    this.#resized(group);
    if (this.#floods(group, now)) {
      // Whom to keep out cannot be told before they speak; so all may, but not for long.
      for (const held of [...group.held]) this.#startProbation(held, group);
    } else this.#promoteWaiting(group, now);
  }

  progress(slot: Slot): void {
    if (slot.state !== "seated" && slot.state !== "probation") return;
    slot.since = this.#time();
    for (const set of this.#orders(slot)) if (set.delete(slot)) set.add(slot);
  }

  pin(slot: Slot): void {
    if (slot.state === "authenticated") return this.setActivity(slot, "busy");
    if (slot.state === "retired") return;
    for (const set of this.#orders(slot)) set.delete(slot);
    if (slot.group !== undefined) this.#resized(slot.group);
  }

  unpin(slot: Slot): void {
    if (slot.state === "authenticated") return this.setActivity(slot, "idle");
    if (slot.state !== "seated" && slot.state !== "probation") return;
    slot.since = this.#time();
    for (const set of this.#orders(slot)) set.add(slot);
    this.#resized(slot.group!);
  }

  authenticated(slot: Slot, owner?: Owner): void {
    // A client may log in once more: after STARTTLS, or in a trusted network.
    if (slot.state === "authenticated") this.#shares.delete(slot);
    else if (slot.state !== "seated" && slot.state !== "probation") return;
    else this.#unseat(slot, "authenticated");
    this.#shares.add(slot, owner, slot.key!, this.#time());
  }

  setActivity(slot: Slot, activity: Activity): void {
    if (slot.state !== "authenticated") return;
    const now = this.#time();
    this.#shares.setActivity(slot, activity, now);
    // It may be the one to make room. By the next look it may be busy again, and so all others.
    if (activity !== "busy" && this.queued > 0) this.#serve(now);
  }

  retire(slot: Slot): void {
    if (slot.state === "authenticated") {
      this.#shares.delete(slot);
      slot.state = "retired";
    } else if (slot.state === "seated" || slot.state === "probation") {
      this.#unseat(slot, "retired");
    } else return;
    this.#retired.add(slot);
    this.#serve(this.#time());
  }

  remove(slot: Slot): void {
    if (slot.state === "gone") return;
    if (slot.state === "queued") {
      slot.state = "gone";
      this.#queue.delete(slot);
      this.#floodQueue.delete(slot);
      this.#unidentified.delete(slot);
      return;
    }
    this.#count--;
    if (slot.state === "authenticated" || slot.state === "retired") {
      this.#shares.delete(slot);
      this.#retired.delete(slot);
      slot.state = "gone";
    } else this.#unseat(slot, "gone");
  }

  /** Lets no more in: the server stops, and tells those that wait. */
  close(): void {
    this.#closed = true;
  }

  /** To be called about twice a second: ends what has waited long enough. */
  tick(): void {
    const now = this.#time();
    const step = now - this.#lastTick;
    this.#lastTick = now;
    for (const slot of this.#probation) {
      slot.left -= step;
      if (slot.left <= 0) this.#evict(slot, "probation");
    }
    this.#serve(now);
    for (const queue of [this.#queue, this.#floodQueue]) {
      for (let slot = queue.oldest; slot !== undefined; slot = queue.oldest) {
        if (now - slot.since < QUEUE_MS) break;
        this.#evict(slot, "full");
      }
    }
    for (const slot of this.#unidentified) {
      if (now - slot.since < QUEUE_MS) break;
      this.#evict(slot, "full");
    }
    for (const group of [...this.#holding]) this.#promoteWaiting(group, now);
    for (const slot of this.#held) {
      if (now - slot.since < HOLD_MS) break;
      this.#evict(slot, "crowded");
    }
    for (const group of this.#counting) {
      if (now - group.bucket < 2 * FLOOD_WINDOW_MS) break;
      group.over = group.overBefore = 0;
      this.#counting.delete(group);
      this.#forget(group);
    }
  }

  /** It queues up, for no time where there is a place. */
  #line(slot: Slot, key: string, now: number): void {
    (this.#isFlooding(key, now) ? this.#floodQueue : this.#queue).add(slot, key);
    this.#serve(now);
    // It may have to go quickly, then; better than to be refused.
    if (this.queued > this.#queueLimit) this.#serve(now, true);
  }

  /** It has a place from now on. */
  #take(slot: Slot, now: number): void {
    slot.state = "arrived";
    slot.since = now;
    this.#count++;
    this.#waiting.add(slot);
  }

  /**
   * Gives places to those who queue up for one, as long as there are any.
   *
   * @param hurry at least one, whether or not its owner has had time for progress
   */
  #serve(now: number, hurry = false): void {
    while (!this.#closed) {
      const next = this.#queue.next ?? this.#floodQueue.next;
      if (next === undefined) return;
      if (this.#count >= this.#connections) {
        const room = this.#makeRoom(next, now, hurry);
        if (room === "later") return;
        if (room === "never") {
          this.#evict(next, "full");
          continue;
        }
        hurry = false;
      }
      this.#queue.serve(next);
      this.#floodQueue.serve(next);
      this.#take(next, now);
      this.identify(next);
    }
  }

  /**
   * Ends a connection for one that queues up.
   *
   * @returns `later` where it has to wait until a place may change hands, `never` where none will
   */
  #makeRoom(next: Slot, now: number, hurry: boolean): "made" | "later" | "never" {
    const end = (slot: Slot, why: EvictionReason) => {
      this.#evict(slot, why);
      return "made" as const;
    };
    const retired = first(this.#retired);
    if (retired !== undefined) return end(retired, "retired");
    const victim = this.#nextToGo(now);
    const key = this.#queue.ownerOf(next) ?? "";
    if (victim !== undefined) {
      // Those that flood us have no time to lose against others: of other addresses, since the first
      // of a flood have come before it was one.
      const before = victim.state === "probation" && key !== "" && key !== victim.group?.key;
      if (before || now - victim.since >= STAY_MS) return end(victim, "makes room");
    }
    // Strangers have a share of places too, and take no more from those that have logged in.
    const strangers = this.#count - this.#shares.size;
    const entitled = strangers < accountShare(this.#connections);
    const address = key === "" ? undefined : key;
    const over = entitled ? this.#shares.nextToEvict(address, now - SETTLED_MS) : undefined;
    if (over !== undefined) return end(over, "over share");
    // Rather than that a client on its way to a login goes early, one over its share is waited for.
    const comes = entitled && this.#shares.hasOverShare(address);
    if (comes && !hurry) return "later";
    // A check ends soon: then its client has either logged in or may have to make room.
    if (victim === undefined) return strangers > 0 && !hurry ? "later" : "never";
    return hurry || this.#mayForce(now) ? end(victim, "makes room") : "later";
  }

  /** Whoever has been longest without progress; in a rush, of the address that has most of them. */
  #nextToGo(now: number): Slot | undefined {
    const longest = first(this.#probation) ?? first(this.#waiting);
    if (longest === undefined || this.#bySize.largestSize < 2 || this.#idle) return longest;
    if (now - longest.since >= CONTENTION_MS) return longest;
    const group = this.#bySize.largest!;
    return first(group.probation) ?? first(group.waiting);
  }

  /** To be called when one more or one less of a crowd may have to make room. */
  #resized(group: AddressGroup): void {
    this.#bySize.resize(group, group.probation.size + group.waiting.size);
  }

  /** Whether nobody waits but for the one whose turn it is. */
  get #idle(): boolean {
    return this.#queue.size + this.#floodQueue.size <= 1;
  }

  /** Whether another place may change hands before its owner had the time for progress: while calm. */
  #mayForce(now: number): boolean {
    if (!this.#idle) return false;
    if (now - this.#forcedSince >= 1_000) {
      this.#forcedSince = now;
      this.#forcedEvictions = 0;
    }
    return ++this.#forcedEvictions <= Math.max(FORCED, this.#connections / 10);
  }

  /** Milliseconds in which we were there for our clients. */
  #time(): number {
    const real = this.#now();
    this.#counted += Math.min(real - this.#real, LARGEST_STEP_MS);
    this.#real = real;
    return this.#counted;
  }

  /** The sets that hold a place in order of progress, while it may have to give way. */
  #orders({ state, group }: Slot): Set<Slot>[] {
    if (group === undefined) return [this.#waiting];
    if (state === "probation") return [this.#probation, group.probation];
    const both = [this.#waiting, group.waiting];
    return state === "seated" ? [...both, group.idle] : both;
  }

  #seat(slot: Slot, group: AddressGroup): void {
    slot.state = "seated";
    group.seats++;
    group.idle.add(slot);
    group.waiting.add(slot);
    this.#resized(group);
    this.progress(slot);
    slot.connection.admit();
  }

  #startProbation(slot: Slot, group: AddressGroup): void {
    this.#release(slot, group);
    for (const set of this.#orders(slot)) set.delete(slot);
    slot.state = "probation";
    for (const set of this.#orders(slot)) set.add(slot);
    slot.connection.admit();
  }

  /** Takes a place out of those that are held. */
  #release(slot: Slot, group: AddressGroup): void {
    group.held.delete(slot);
    this.#held.delete(slot);
    if (group.held.size === 0) this.#holding.delete(group);
  }

  /** Gives the places that there are to those who wait for one, in the order in which they came. */
  #promoteWaiting(group: AddressGroup, now: number): void {
    while (!this.#closed) {
      const next = first(group.held);
      if (next === undefined) return;
      if (group.seats >= this.#perAddress) {
        const oldest = first(group.idle);
        if (oldest === undefined || now - oldest.since < STALE_MS) return;
        // Its place goes to the first one that is held.
        this.#evict(oldest, "gives way");
        continue;
      }
      this.#release(next, group);
      this.#seat(next, group);
    }
  }

  #evict(slot: Slot, why: EvictionReason): void {
    this.remove(slot);
    slot.connection.evict(why);
  }

  /** Takes a place out of all that is about clients that have not logged in. */
  #unseat(slot: Slot, state: "authenticated" | "retired" | "gone"): void {
    for (const set of this.#orders(slot)) set.delete(slot);
    const { group, state: before } = slot;
    slot.state = state;
    if (group === undefined) return;
    group.members--;
    this.#resized(group);
    if (before === "held") this.#release(slot, group);
    else if (before === "seated") group.seats--;
    if (group.held.size > 0) this.#promoteWaiting(group, this.#time());
    this.#forget(group);
  }

  #groupOf(key: string): AddressGroup {
    let group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, group = new AddressGroup(key));
    return group;
  }

  #forget(group: AddressGroup): void {
    if (group.members > 0 || this.#counting.has(group)) return;
    if (this.#groups.get(group.key) === group) this.#groups.delete(group.key);
  }

  #isFlooding(key: string, now: number): boolean {
    const group = this.#groups.get(key);
    return group !== undefined && this.#overOf(group, now) > floodOf(this.#perAddress);
  }

  /** Counts one more over the limit. @returns whether there are so many of late that it is a flood */
  #floods(group: AddressGroup, now: number): boolean {
    const age = now - group.bucket;
    if (age >= FLOOD_WINDOW_MS) {
      group.overBefore = age < 2 * FLOOD_WINDOW_MS ? group.over : 0;
      group.over = 0;
      group.bucket = age < 2 * FLOOD_WINDOW_MS ? group.bucket + FLOOD_WINDOW_MS : now;
      this.#counting.delete(group);
      this.#counting.add(group);
    }
    group.over++;
    return this.#isFlooding(group.key, now);
  }

  /** How many came over the limit in the last {@link FLOOD_WINDOW_MS}, about. */
  #overOf({ over, overBefore, bucket }: AddressGroup, now: number): number {
    const age = (now - bucket) / FLOOD_WINDOW_MS;
    if (age >= 2) return 0;
    return age >= 1 ? over * (2 - age) : over + overBefore * (1 - age);
  }
}

function first<T>(set: Set<T>): T | undefined {
  for (const member of set) return member;
  return undefined;
}
