// Connections that have logged in, by account and by address: which one makes room when all places are
// taken. Policy alone, as connection_limiter.ts.
//
// Whoever has logged in keeps its place, but for accounts and addresses that hold more than their
// share. All accounts of which the mail service has taken no message yet have one share together:
// anybody can register an app in a tenant of their own.

import type { Owner } from "./handlers.ts";
import { Ranking } from "./ranking.ts";

/** What a connection is doing. */
export type Activity =
  /** Between messages, or in a command. */
  | "idle"
  /** Content of a message is coming. */
  | "receiving"
  /** Its message waits for its turn, and can be put off. */
  | "waiting"
  /** Its message is with the mail service, or its login is being checked: it keeps its place. */
  | "busy";

/**
 * Milliseconds after its login in which a connection keeps its slot; a message needs fewer. What it does
 * later does not count, or a client that is never idle for long would never give way.
 */
export const SETTLED_MS = 500;

/** The places that each share has at least: below that, MAX_CONNECTIONS is too small to be shared. */
export const LEAST_SHARE = 8;

/** Places of one account, or of all unknown ones together, that nobody else can ask for. */
export function accountShare(places: number): number {
  return Math.max(LEAST_SHARE, Math.ceil(places / 4));
}

/** Places of one address, which may have many accounts, that no other address can ask for. */
export function addressShare(places: number): number {
  return Math.max(LEAST_SHARE, Math.ceil(places / 2));
}

/** The connections of one account or address. */
class Group<Member> {
  size = 0;
  /** By what they are doing, the one that has been doing so longest first. */
  readonly members: Record<Exclude<Activity, "busy">, Set<Member>> = {
    idle: new Set(),
    receiving: new Set(),
    waiting: new Set(),
  };
  /** @param owner undefined for an address */
  constructor(readonly key: string, readonly owner?: Owner) {}
}

interface Entry<Member> {
  readonly account: Group<Member> | undefined;
  readonly address: Group<Member>;
  activity: Activity;
  /** When that began. */
  since: number;
  /** When it logged in. */
  readonly joined: number;
}

export class ConnectionShares<Member> {
  readonly #places: number;
  readonly #entries = new Map<Member, Entry<Member>>();
  readonly #accounts = new Map<string, Group<Member>>();
  readonly #addresses = new Map<string, Group<Member>>();
  readonly #known = new Ranking<Group<Member>>();
  readonly #unknown = new Ranking<Group<Member>>();
  readonly #byAddress = new Ranking<Group<Member>>();
  /** Connections of unknown accounts. */
  #strangers = 0;
  /** Accounts in {@link #unknown}. */
  readonly #ranked = new Set<Group<Member>>();

  /** @param places MAX_CONNECTIONS */
  constructor(places: number) {
    this.#places = places;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @param address what counts as one address */
  add(member: Member, owner: Owner | undefined, address: string, now: number): void {
    const account = owner && groupOf(this.#accounts, owner.key, owner);
    const entry: Entry<Member> = {
      account,
      address: groupOf(this.#addresses, address),
      activity: "busy",
      since: now,
      joined: now,
    };
    this.#entries.set(member, entry);
    this.#resize(entry, 1);
    this.setActivity(member, "idle", now);
  }

  delete(member: Member): void {
    const entry = this.#entries.get(member);
    if (entry === undefined) return;
    this.#move(member, entry, "busy");
    this.#entries.delete(member);
    this.#resize(entry, -1);
  }

  /** The connection does something else from now on, or has made progress with it. */
  setActivity(member: Member, activity: Activity, now: number): void {
    const entry = this.#entries.get(member);
    if (entry === undefined) return;
    this.#move(member, entry, activity);
    entry.since = now;
    if (entry.account !== undefined) this.#rank(entry.account);
  }

  /** Whether some account or address holds more than its share, so that a place will come of it. */
  hasOverShare(address: string): boolean {
    return this.#groups(address).next().done === false;
  }

  /**
   * The connection that makes room for a new one: of an account or address over its share.
   *
   * @param address of the new one
   */
  nextToEvict(address: string, now: number): Member | undefined {
    const before = now - SETTLED_MS;
    for (const { members: { idle, waiting, receiving } } of this.#groups(address)) {
      const idlest = this.#firstBefore(idle, before);
      if (idlest !== undefined) return idlest;
      // The latest: the others have waited longer, and their turn comes sooner.
      const latest = [...waiting].at(-1);
      if (latest !== undefined) return latest;
      const longest = this.#firstBefore(receiving, before);
      if (longest !== undefined) return longest;
    }
    return undefined;
  }

  /** Those that have just logged in are mostly the last. */
  #firstBefore(members: ReadonlySet<Member>, before: number): Member | undefined {
    for (const member of members) {
      if (this.#entries.get(member)!.joined <= before) return member;
    }
    return undefined;
  }

  *#groups(address: string): Generator<Group<Member>> {
    const share = accountShare(this.#places);
    if (this.#strangers > share) yield this.#unknown.largest!;
    if (this.#known.largestSize > share) yield this.#known.largest!;
    const largest = this.#byAddress.largest;
    if (this.#byAddress.largestSize > addressShare(this.#places) && largest!.key !== address) {
      yield largest!;
    }
  }

  #move(member: Member, entry: Entry<Member>, activity: Activity): void {
    const { account, address, activity: before } = entry;
    for (const group of account === undefined ? [address] : [account, address]) {
      if (before !== "busy") group.members[before].delete(member);
      if (activity !== "busy") group.members[activity].add(member);
    }
    entry.activity = activity;
  }

  #resize({ account, address }: Entry<Member>, change: 1 | -1): void {
    address.size += change;
    this.#byAddress.resize(address, address.size);
    if (address.size === 0) this.#addresses.delete(address.key);
    if (account === undefined) return;
    if (this.#ranked.has(account)) this.#strangers += change;
    account.size += change;
    this.#rank(account);
    if (account.size === 0) this.#accounts.delete(account.key);
  }

  /** Puts an account where it belongs, which changes once: when it becomes known. */
  #rank(account: Group<Member>): void {
    const unknown = account.owner?.known === false && account.size > 0;
    if (unknown !== this.#ranked.has(account)) {
      if (unknown) {
        this.#ranked.add(account);
        this.#strangers += account.size;
        this.#known.resize(account, 0);
      } else {
        this.#ranked.delete(account);
        this.#strangers -= account.size;
        this.#unknown.resize(account, 0);
      }
    }
    (unknown ? this.#unknown : this.#known).resize(account, account.size);
  }
}

function groupOf<Member>(
  groups: Map<string, Group<Member>>,
  key: string,
  owner?: Owner,
): Group<Member> {
  let group = groups.get(key);
  if (group === undefined) groups.set(key, group = new Group(key, owner));
  return group;
}
