// Who may stay: MAX_CONNECTIONS and MAX_CONNECTIONS_PER_IP. Policy alone: no I/O, no timer and no
// clock of its own.
//
// A place is free for everybody until there are too many. What then decides is progress: whoever has
// been longest without any gives way. Each event costs the same however many connections there are;
// sets keep the order in which their members came, so that the first one is the longest there.

/** Milliseconds for which a client over its address's limit waits for a place. */
export const HOLD_MS = 2_000;
/** Milliseconds without progress after which a client gives way to one that is held. */
export const STALE_MS = 30_000;
/** Milliseconds of its own that a client on probation has to log in. */
export const PROBATION_MS = 3_000;
/** Milliseconds in which so many come over the limit that it is a flood; see {@link floodOf}. */
export const FLOOD_WINDOW_MS = 10_000;
/**
 * When even the client that has been longest without progress made some within so many milliseconds,
 * they come faster than anybody can log in. Then the address that has most of them makes room.
 */
export const RUSH_MS = 10_000;
/** Connections over MAX_CONNECTIONS until those that have to make room are chosen. */
const MAX_OVER = 256;
/** The most that one look charges to those on probation: our own slowness is not theirs. */
const LARGEST_STEP_MS = 1_000;

/** Clients over an address's limit in {@link FLOOD_WINDOW_MS} beyond which it is a flood. */
export function floodOf(limit: number): number {
  return 2 * limit + 64;
}

/** Why a client has to go. */
export type Dismissal =
  /** All places are taken, and by clients that have logged in: none for the new one. */
  | "full"
  /** It has been longest without progress, and a new one needs a place. */
  | "makes room"
  /** Its address has no place for it, and had none while it waited. */
  | "crowded"
  /** It has stood still, and another one of its address needs its place. */
  | "gives way"
  /** Its address floods us, and it has not logged in fast enough. */
  | "probation";

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
  /** Milliseconds, of a clock that never goes back. */
  readonly now?: () => number;
  /**
   * Calls back when what has come already has been read: before that, nobody can be said to have been
   * without progress. At once when left out.
   */
  readonly soon?: (callback: () => void) => void;
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
  /** How many they were when the crowds were put in order of their size. */
  size = 0;
  /** Clients over the limit: since `bucket`, and in the time as long before that. */
  over = 0;
  overBefore = 0;
  bucket = -Infinity;

  constructor(readonly key: string) {}
}

type State = "arrived" | "held" | "seated" | "probation" | "authenticated" | "gone";

/** One connection's place, as long as it has one. */
export class Place {
  state: State = "arrived";
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
    this.#admission.begin(this, key);
  }

  /** It has reached a further stage on the way to its login. */
  progress(): void {
    this.#admission.progress(this);
  }

  /** Its login is being checked: it waits for us, and gives way to nobody. */
  checking(): void {
    this.#admission.checking(this);
  }

  /** The check has ended without a login. */
  checked(): void {
    this.#admission.checked(this);
  }

  authenticated(): void {
    this.#admission.authenticated(this);
  }

  /** The connection is closed. */
  leave(): void {
    this.#admission.leave(this);
  }
}

export class Admission {
  readonly #connections: number;
  readonly #perAddress: number;
  readonly #now: () => number;
  #count = 0;
  /** Those that may have to make room, by their last progress: all that have not logged in… */
  readonly #waiting = new Set<Place>();
  /** … and before them, those on probation. */
  readonly #probation = new Set<Place>();
  /** All that are held, the longest first. */
  readonly #held = new Set<Place>();
  readonly #crowds = new Map<string, Crowd>();
  /** Crowds that some of their clients are held for. */
  readonly #holding = new Set<Crowd>();
  /** Crowds by how many of theirs may have to make room, and the largest such number. */
  readonly #bySize: Set<Crowd>[] = [];
  #largest = 0;
  /** Crowds that remember how many came over the limit, the latest last. */
  readonly #counting = new Set<Crowd>();
  readonly #soon: (callback: () => void) => void;
  /** Somebody will be chosen to make room. */
  #choosing = false;
  #lastTick: number;

  constructor(
    { connections, perAddress, now = () => performance.now(), soon = (callback) => callback() }:
      AdmissionOptions,
  ) {
    this.#connections = connections;
    this.#perAddress = perAddress;
    this.#now = now;
    this.#soon = soon;
    this.#lastTick = now();
  }

  /** Connections that have a place. */
  get connections(): number {
    return this.#count;
  }

  /** Addresses that something is remembered of. */
  get addresses(): number {
    return this.#crowds.size;
  }

  /** A connection was accepted: it takes a place, if need be somebody else's. */
  arrive(guest: Guest): Place {
    const place = new Place(guest, this, this.#now());
    const over = this.#count + 1 - this.#connections;
    if (over > this.#probation.size + this.#waiting.size) {
      place.state = "gone";
      guest.dismiss("full");
      return place;
    }
    this.#count++;
    this.#waiting.add(place);
    if (over > MAX_OVER) this.#makeRoom();
    else if (over > 0 && !this.#choosing) {
      this.#choosing = true;
      this.#soon(() => this.#makeRoom());
    }
    return place;
  }

  #makeRoom(): void {
    this.#choosing = false;
    while (this.#count > this.#connections) {
      const victim = this.#nextToGo();
      if (victim === undefined) return;
      this.#dismiss(victim, "makes room");
    }
  }

  /** Whoever has been longest without progress; in a rush, of the address that has most of them. */
  #nextToGo(): Place | undefined {
    const longest = first(this.#probation) ?? first(this.#waiting);
    if (longest === undefined || this.#largest < 2) return longest;
    if (this.#now() - longest.since >= RUSH_MS) return longest;
    const crowd = first(this.#bySize[this.#largest]!)!;
    return first(crowd.probation) ?? first(crowd.waiting);
  }

  /** To be called when one more or one less of a crowd may have to make room. */
  #resized(crowd: Crowd): void {
    const size = crowd.probation.size + crowd.waiting.size;
    if (size === crowd.size) return;
    this.#bySize[crowd.size]?.delete(crowd);
    crowd.size = size;
    if (size > 0) (this.#bySize[size] ??= new Set()).add(crowd);
    this.#largest = Math.max(this.#largest, size);
    while (this.#largest > 0 && !this.#bySize[this.#largest]?.size) this.#largest--;
  }

  begin(place: Place, key: string): void {
    // Whoever needs no login is not held.
    if (place.state === "authenticated") return place.guest.welcome();
    if (place.state !== "arrived") return;
    const crowd = this.#crowdOf(key);
    place.crowd = crowd;
    crowd.members++;
    if (crowd.seats < this.#perAddress && crowd.held.size === 0) return this.#seat(place, crowd);
    const now = this.#now();
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
    place.since = this.#now();
    for (const set of this.#orders(place)) if (set.delete(place)) set.add(place);
  }

  checking(place: Place): void {
    for (const set of this.#orders(place)) set.delete(place);
    if (place.crowd !== undefined) this.#resized(place.crowd);
  }

  checked(place: Place): void {
    if (place.state !== "seated" && place.state !== "probation") return;
    place.since = this.#now();
    for (const set of this.#orders(place)) set.add(place);
    this.#resized(place.crowd!);
  }

  authenticated(place: Place): void {
    if (place.state === "gone" || place.state === "authenticated") return;
    this.#unseat(place, "authenticated");
  }

  leave(place: Place): void {
    if (place.state === "gone") return;
    this.#count--;
    if (place.state === "authenticated") place.state = "gone";
    else this.#unseat(place, "gone");
  }

  /** To be called about twice a second: ends what has waited long enough. */
  tick(): void {
    const now = this.#now();
    const step = Math.min(now - this.#lastTick, LARGEST_STEP_MS);
    this.#lastTick = now;
    for (const crowd of [...this.#holding]) this.#relieve(crowd, now);
    for (const place of this.#held) {
      if (now - place.since < HOLD_MS) break;
      this.#dismiss(place, "crowded");
    }
    for (const place of this.#probation) {
      place.left -= step;
      if (place.left <= 0) this.#dismiss(place, "probation");
    }
    for (const crowd of this.#counting) {
      if (now - crowd.bucket < 2 * FLOOD_WINDOW_MS) break;
      crowd.over = crowd.overBefore = 0;
      this.#counting.delete(crowd);
      this.#forget(crowd);
    }
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
    for (;;) {
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
  #unseat(place: Place, state: "authenticated" | "gone"): void {
    for (const set of this.#orders(place)) set.delete(place);
    const { crowd, state: before } = place;
    place.state = state;
    if (crowd === undefined) return;
    crowd.members--;
    this.#resized(crowd);
    if (before === "held") this.#release(place, crowd);
    else if (before === "seated") crowd.seats--;
    if (crowd.held.size > 0) this.#relieve(crowd, this.#now());
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
    const rest = 1 - (now - crowd.bucket) / FLOOD_WINDOW_MS;
    return crowd.over + crowd.overBefore * rest > floodOf(this.#perAddress);
  }
}

function first<T>(set: Set<T>): T | undefined {
  for (const member of set) return member;
  return undefined;
}
