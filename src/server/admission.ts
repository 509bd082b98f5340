// Who may stay: MAX_CONNECTIONS and MAX_CONNECTIONS_PER_IP. Policy alone: no I/O, no timer and no
// clock of its own.
//
// A place is free for everybody until there are too many. What then decides is progress: whoever has
// been longest without any gives way. Each event costs the same however many connections there are;
// sets keep the order in which their members came, so that the first one is the longest there.

import { FairQueue } from "./fair_queue.ts";
import type { Owner } from "./handlers.ts";
import { accountShare, type Activity, LoggedIn } from "./logged_in.ts";
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
const HURRIED = 16;
/**
 * When there is a queue, and even the client that has been longest without progress made some within so
 * many milliseconds, they come in a rush. Then the address that has most of them makes room, not one
 * that has a single one.
 */
export const RUSH_MS = 10_000;
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
export type Dismissal =
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
export interface Guest {
  /** It may go on: by a greeting, or TLS. */
  welcome(): void;
  /** It has to go. Its place is not counted any more. */
  dismiss(why: Dismissal): void;
}

export interface AdmissionOptions {
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
class Crowd {
  /** All of them. */
  members = 0;
  /** Those that count for the limit: neither held nor on probation. */
  seats = 0;
  /** Of those, the ones whose login is not being checked, by their last progress. */
  readonly idle = new Set<Place>();
  readonly held = new Set<Place>();
  /** Those that may have to make room: on probation, and the others, by their last progress. */
  readonly probation = new Set<Place>();
  readonly waiting = new Set<Place>();
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
export class Place {
  state: State = "queued";
  /** What counts as one client, once that is known. */
  key: string | undefined;
  crowd: Crowd | undefined;
  /** When it came, or made progress last. */
  since: number;
  /** Milliseconds that are left of its probation. */
  left = PROBATION_MS;
  readonly #admission: Admission;

  constructor(readonly guest: Guest, admission: Admission, now: number) {
    this.#admission = admission;
    this.since = now;
  }

  /**
   * The client's address is known, and it wants to be served: `welcome` or `dismiss` follow, at once or
   * after a while.
   *
   * @param key what counts as one client (`clientKey`)
   */
  begin(key: string): void {
    this.key = key;
    this.#admission.begin(this);
  }

  /** It has reached a further stage on the way to its login. */
  progress(): void {
    this.#admission.progress(this);
  }

  /** Its login is being checked, or a message: it waits for us, and gives way to nobody. */
  checking(): void {
    this.#admission.checking(this);
  }

  /** The check has ended, and has proved nothing. */
  checked(): void {
    this.#admission.checked(this);
  }

  /** @param owner the account that it has logged in to; left out, no share is kept for it */
  authenticated(owner?: Owner): void {
    this.#admission.authenticated(this, owner);
  }

  /** It has logged in, and does something else from now on. */
  does(activity: Activity): void {
    this.#admission.does(this, activity);
  }

  /** It has had its last reply, or its client is gone: anybody may have the place. */
  retire(): void {
    this.#admission.retire(this);
  }

  /** The connection is closed. */
  leave(): void {
    this.#admission.leave(this);
  }
}

export class Admission {
  readonly #connections: number;
  readonly #perAddress: number;
  readonly #queueLimit: number;
  readonly #now: () => number;
  #count = 0;
  #closed = false;
  /** Those that wait until somebody has had the time for progress, an address after the other… */
  readonly #queue = new FairQueue<Place>();
  /** … and behind them, those of addresses that flood us. */
  readonly #floodQueue = new FairQueue<Place>();
  /** Those that queue up, too, once it is known for whom; the longest first. */
  readonly #nameless = new Set<Place>();
  /** Places taken in the second from `hurriedSince` on from those that had not had that time. */
  #hurried = 0;
  #hurriedSince = -Infinity;
  /** Those that may have to make room, by their last progress: all that have not logged in… */
  readonly #waiting = new Set<Place>();
  /** … and before them, those on probation. */
  readonly #probation = new Set<Place>();
  /** All that are held, the longest first. */
  readonly #held = new Set<Place>();
  readonly #loggedIn: LoggedIn<Place>;
  /** Those whose place anybody may have. */
  readonly #retired = new Set<Place>();
  readonly #crowds = new Map<string, Crowd>();
  /** Crowds that some of their clients are held for. */
  readonly #holding = new Set<Crowd>();
  /** Crowds by how many of theirs may have to make room. */
  readonly #bySize = new Ranking<Crowd>();
  /** Crowds that remember how many came over the limit, the latest last. */
  readonly #counting = new Set<Crowd>();
  /** Time as it counts for clients, and what the clock said at the last event. */
  #counted = 0;
  #real: number;
  #lastTick = 0;

  constructor(options: AdmissionOptions) {
    const { connections, perAddress, queue = QUEUE, now = () => performance.now() } = options;
    this.#connections = connections;
    this.#perAddress = perAddress;
    this.#queueLimit = queue;
    this.#now = now;
    this.#real = now();
    this.#loggedIn = new LoggedIn(connections);
  }

  /** Connections that have a place. */
  get connections(): number {
    return this.#count;
  }

  /** Addresses that something is remembered of. */
  get addresses(): number {
    return this.#crowds.size;
  }

  /** Connections that queue up for a place. */
  get queued(): number {
    return this.#queue.size + this.#floodQueue.size + this.#nameless.size;
  }

  /**
   * A connection was accepted: it takes a place, if need be somebody else's.
   *
   * @param key as in {@link Place.begin}, where it is known already
   */
  arrive(guest: Guest, key?: string): Place {
    const now = this.#time();
    const place = new Place(guest, this, now);
    // Nobody has to go for it before it is known whether it is one of a flood.
    const nameless = key === undefined && this.#count >= this.#connections;
    if (nameless && this.queued < this.#queueLimit) this.#nameless.add(place);
    else this.#line(place, key ?? "", now);
    return place;
  }

  begin(place: Place): void {
    if (place.key === undefined) return;
    // While it queues up, it only has to be remembered; and now it is known whose turn it waits for.
    if (this.#queue.has(place)) return this.#queue.add(place, place.key);
    if (this.#nameless.delete(place)) this.#line(place, place.key, this.#time());
    if (place.state !== "arrived") return;
    const crowd = this.#crowdOf(place.key);
    place.crowd = crowd;
    crowd.members++;
    if (crowd.seats < this.#perAddress && crowd.held.size === 0) return this.#seat(place, crowd);
    const now = this.#time();
    place.state = "held";
    place.since = now;
    crowd.held.add(place);
    this.#held.add(place);
    this.#holding.add(crowd);
    crowd.waiting.add(place);
    this.#resized(crowd);
    if (this.#floods(crowd, now)) {
      // Whom to keep out cannot be told before they speak; so all may, but not for long.
      for (const held of [...crowd.held]) this.#tryOut(held, crowd);
    } else this.#relieve(crowd, now);
  }

  progress(place: Place): void {
    if (place.state !== "seated" && place.state !== "probation") return;
    place.since = this.#time();
    for (const set of this.#orders(place)) if (set.delete(place)) set.add(place);
  }

  checking(place: Place): void {
    if (place.state === "authenticated") return this.does(place, "busy");
    if (place.state === "retired") return;
    for (const set of this.#orders(place)) set.delete(place);
    if (place.crowd !== undefined) this.#resized(place.crowd);
  }

  checked(place: Place): void {
    if (place.state === "authenticated") return this.does(place, "idle");
    if (place.state !== "seated" && place.state !== "probation") return;
    place.since = this.#time();
    for (const set of this.#orders(place)) set.add(place);
    this.#resized(place.crowd!);
  }

  authenticated(place: Place, owner?: Owner): void {
    // A client may log in once more: after STARTTLS, or in a trusted network.
    if (place.state === "authenticated") this.#loggedIn.delete(place);
    else if (place.state !== "seated" && place.state !== "probation") return;
    else this.#unseat(place, "authenticated");
    this.#loggedIn.add(place, owner, place.key!, this.#time());
  }

  does(place: Place, activity: Activity): void {
    if (place.state !== "authenticated") return;
    const now = this.#time();
    this.#loggedIn.does(place, activity, now);
    // It may be the one to make room. By the next look it may be busy again, and so all others.
    if (activity !== "busy" && this.queued > 0) this.#serve(now);
  }

  retire(place: Place): void {
    if (place.state === "authenticated") {
      this.#loggedIn.delete(place);
      place.state = "retired";
    } else if (place.state === "seated" || place.state === "probation") {
      this.#unseat(place, "retired");
    } else return;
    this.#retired.add(place);
    this.#serve(this.#time());
  }

  leave(place: Place): void {
    if (place.state === "gone") return;
    if (place.state === "queued") {
      place.state = "gone";
      this.#queue.delete(place);
      this.#floodQueue.delete(place);
      this.#nameless.delete(place);
      return;
    }
    this.#count--;
    if (place.state === "authenticated" || place.state === "retired") {
      this.#loggedIn.delete(place);
      this.#retired.delete(place);
      place.state = "gone";
    } else this.#unseat(place, "gone");
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
    for (const place of this.#probation) {
      place.left -= step;
      if (place.left <= 0) this.#dismiss(place, "probation");
    }
    this.#serve(now);
    for (const queue of [this.#queue, this.#floodQueue]) {
      for (let place = queue.oldest; place !== undefined; place = queue.oldest) {
        if (now - place.since < QUEUE_MS) break;
        this.#dismiss(place, "full");
      }
    }
    for (const place of this.#nameless) {
      if (now - place.since < QUEUE_MS) break;
      this.#dismiss(place, "full");
    }
    for (const crowd of [...this.#holding]) this.#relieve(crowd, now);
    for (const place of this.#held) {
      if (now - place.since < HOLD_MS) break;
      this.#dismiss(place, "crowded");
    }
    for (const crowd of this.#counting) {
      if (now - crowd.bucket < 2 * FLOOD_WINDOW_MS) break;
      crowd.over = crowd.overBefore = 0;
      this.#counting.delete(crowd);
      this.#forget(crowd);
    }
  }

  /** It queues up, for no time where there is a place. */
  #line(place: Place, key: string, now: number): void {
    (this.#isFlooding(key, now) ? this.#floodQueue : this.#queue).add(place, key);
    this.#serve(now);
    // It may have to go quickly, then; better than to be refused.
    if (this.queued > this.#queueLimit) this.#serve(now, true);
  }

  /** It has a place from now on. */
  #take(place: Place, now: number): void {
    place.state = "arrived";
    place.since = now;
    this.#count++;
    this.#waiting.add(place);
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
          this.#dismiss(next, "full");
          continue;
        }
        hurry = false;
      }
      this.#queue.serve(next);
      this.#floodQueue.serve(next);
      this.#take(next, now);
      this.begin(next);
    }
  }

  /**
   * Ends a connection for one that queues up.
   *
   * @returns `later` where it has to wait until a place may change hands, `never` where none will
   */
  #makeRoom(next: Place, now: number, hurry: boolean): "made" | "later" | "never" {
    const end = (place: Place, why: Dismissal) => {
      this.#dismiss(place, why);
      return "made" as const;
    };
    const retired = first(this.#retired);
    if (retired !== undefined) return end(retired, "retired");
    const victim = this.#nextToGo(now);
    const key = this.#queue.ownerOf(next) ?? "";
    if (victim !== undefined) {
      // Those that flood us have no time to lose against others: of other addresses, since the first
      // of a flood have come before it was one.
      const before = victim.state === "probation" && key !== "" && key !== victim.crowd?.key;
      if (before || now - victim.since >= STAY_MS) return end(victim, "makes room");
    }
    // Strangers have a share of places too, and take no more from those that have logged in.
    const strangers = this.#count - this.#loggedIn.size;
    const entitled = strangers < accountShare(this.#connections);
    const address = key === "" ? undefined : key;
    const over = entitled ? this.#loggedIn.next(address, now - SETTLED_MS) : undefined;
    if (over !== undefined) return end(over, "over share");
    // Rather than that a client on its way to a login goes early, one over its share is waited for.
    const comes = entitled && this.#loggedIn.overShare(address);
    if (comes && !hurry) return "later";
    // A check ends soon: then its client has either logged in or may have to make room.
    if (victim === undefined) return strangers > 0 && !hurry ? "later" : "never";
    return hurry || this.#mayHurry(now) ? end(victim, "makes room") : "later";
  }

  /** Whoever has been longest without progress; in a rush, of the address that has most of them. */
  #nextToGo(now: number): Place | undefined {
    const longest = first(this.#probation) ?? first(this.#waiting);
    if (longest === undefined || this.#bySize.largestSize < 2 || this.#calm) return longest;
    if (now - longest.since >= RUSH_MS) return longest;
    const crowd = this.#bySize.largest!;
    return first(crowd.probation) ?? first(crowd.waiting);
  }

  /** To be called when one more or one less of a crowd may have to make room. */
  #resized(crowd: Crowd): void {
    this.#bySize.resize(crowd, crowd.probation.size + crowd.waiting.size);
  }

  /** Whether nobody waits but for the one whose turn it is. */
  get #calm(): boolean {
    return this.#queue.size + this.#floodQueue.size <= 1;
  }

  /** Whether another place may change hands before its owner had the time for progress: while calm. */
  #mayHurry(now: number): boolean {
    if (!this.#calm) return false;
    if (now - this.#hurriedSince >= 1_000) {
      this.#hurriedSince = now;
      this.#hurried = 0;
    }
    return ++this.#hurried <= Math.max(HURRIED, this.#connections / 10);
  }

  /** Milliseconds in which we were there for our clients. */
  #time(): number {
    const real = this.#now();
    this.#counted += Math.min(real - this.#real, LARGEST_STEP_MS);
    this.#real = real;
    return this.#counted;
  }

  /** The sets that hold a place in order of progress, while it may have to give way. */
  #orders({ state, crowd }: Place): Set<Place>[] {
    if (crowd === undefined) return [this.#waiting];
    if (state === "probation") return [this.#probation, crowd.probation];
    const both = [this.#waiting, crowd.waiting];
    return state === "seated" ? [...both, crowd.idle] : both;
  }

  #seat(place: Place, crowd: Crowd): void {
    place.state = "seated";
    crowd.seats++;
    crowd.idle.add(place);
    crowd.waiting.add(place);
    this.#resized(crowd);
    this.progress(place);
    place.guest.welcome();
  }

  #tryOut(place: Place, crowd: Crowd): void {
    this.#release(place, crowd);
    for (const set of this.#orders(place)) set.delete(place);
    place.state = "probation";
    for (const set of this.#orders(place)) set.add(place);
    place.guest.welcome();
  }

  /** Takes a place out of those that are held. */
  #release(place: Place, crowd: Crowd): void {
    crowd.held.delete(place);
    this.#held.delete(place);
    if (crowd.held.size === 0) this.#holding.delete(crowd);
  }

  /** Gives the places that there are to those who wait for one, in the order in which they came. */
  #relieve(crowd: Crowd, now: number): void {
    while (!this.#closed) {
      const next = first(crowd.held);
      if (next === undefined) return;
      if (crowd.seats >= this.#perAddress) {
        const oldest = first(crowd.idle);
        if (oldest === undefined || now - oldest.since < STALE_MS) return;
        // Its place goes to the first one that is held.
        this.#dismiss(oldest, "gives way");
        continue;
      }
      this.#release(next, crowd);
      this.#seat(next, crowd);
    }
  }

  #dismiss(place: Place, why: Dismissal): void {
    this.leave(place);
    place.guest.dismiss(why);
  }

  /** Takes a place out of all that is about clients that have not logged in. */
  #unseat(place: Place, state: "authenticated" | "retired" | "gone"): void {
    for (const set of this.#orders(place)) set.delete(place);
    const { crowd, state: before } = place;
    place.state = state;
    if (crowd === undefined) return;
    crowd.members--;
    this.#resized(crowd);
    if (before === "held") this.#release(place, crowd);
    else if (before === "seated") crowd.seats--;
    if (crowd.held.size > 0) this.#relieve(crowd, this.#time());
    this.#forget(crowd);
  }

  #crowdOf(key: string): Crowd {
    let crowd = this.#crowds.get(key);
    if (crowd === undefined) this.#crowds.set(key, crowd = new Crowd(key));
    return crowd;
  }

  #forget(crowd: Crowd): void {
    if (crowd.members > 0 || this.#counting.has(crowd)) return;
    if (this.#crowds.get(crowd.key) === crowd) this.#crowds.delete(crowd.key);
  }

  #isFlooding(key: string, now: number): boolean {
    const crowd = this.#crowds.get(key);
    return crowd !== undefined && this.#overOf(crowd, now) > floodOf(this.#perAddress);
  }

  /** Counts one more over the limit. @returns whether there are so many of late that it is a flood */
  #floods(crowd: Crowd, now: number): boolean {
    const age = now - crowd.bucket;
    if (age >= FLOOD_WINDOW_MS) {
      crowd.overBefore = age < 2 * FLOOD_WINDOW_MS ? crowd.over : 0;
      crowd.over = 0;
      crowd.bucket = age < 2 * FLOOD_WINDOW_MS ? crowd.bucket + FLOOD_WINDOW_MS : now;
      this.#counting.delete(crowd);
      this.#counting.add(crowd);
    }
    crowd.over++;
    return this.#isFlooding(crowd.key, now);
  }

  /** How many came over the limit in the last {@link FLOOD_WINDOW_MS}, about. */
  #overOf({ over, overBefore, bucket }: Crowd, now: number): number {
    const age = (now - bucket) / FLOOD_WINDOW_MS;
    if (age >= 2) return 0;
    return age >= 1 ? over * (2 - age) : over + overBefore * (1 - age);
  }
}

function first<T>(set: Set<T>): T | undefined {
  for (const member of set) return member;
  return undefined;
}
