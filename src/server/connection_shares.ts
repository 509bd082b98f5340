// Shares of MAX_CONNECTIONS for clients that have logged in, by account and by address. Only the
// policy, like connection_limiter.ts.
//
// A connection that has logged in keeps its slot, unless its account or address has more than its
// share. Unknown accounts, from which the mail service has not accepted a message yet, have one
// share together, because everyone can register an app in a tenant of their own.

import type { Owner } from "../submission/submission_service.ts";
import { Ranking } from "./ranking.ts";

/** What a connection is doing. */
export type Activity =
  /** Between messages, or in a command. */
  | "idle"
  /** Content of a message is arriving. */
  | "receiving"
  /** Its message waits for its turn, and can be deferred. */
  | "waiting"
  /** Its message is with the mail service, or its login is being checked: it keeps its slot. */
  | "busy";

/**
 * Milliseconds after its login in which a connection keeps its slot; a message needs less. Later
 * activity does not protect it, because a client that is never idle for long would keep its slot
 * for ever.
 */
export const SETTLED_MS = 500;

/** The smallest share, in slots: a smaller MAX_CONNECTIONS cannot be shared. */
export const LEAST_SHARE = 8;

/** Slots that one account, or all unknown accounts together, may keep when others need some. */
export function accountShare(slots: number): number {
  return Math.max(LEAST_SHARE, Math.ceil(slots / 4));
}

/** Slots that one address, which may have many accounts, may keep when others need some. */
export function addressShare(slots: number): number {
  return Math.max(LEAST_SHARE, Math.ceil(slots / 2));
}

/** The connections of one account or address. */
class Group<Member> {
  size = 0;
  /** By activity, longest in it first. */
  readonly members: Record<Exclude<Activity, "busy">, Set<Member>> = {
    idle: new Set(),
    receiving: new Set(),
    waiting: new Set(),
  };
  /** @param owner undefined for an address */
  constructor(readonly key: string, readonly owner?: Owner) {}
}

interface Entry<Member> {
  readonly owner: Owner | undefined;
  readonly account: Group<Member> | undefined;
  readonly address: Group<Member>;
  activity: Activity;
  /** When the activity began. */
  since: number;
  /** When it logged in. */
  readonly joined: number;
}

export class ConnectionShares<Member> {
  readonly #slots: number;
  readonly #entries = new Map<Member, Entry<Member>>();
  readonly #accounts = new Map<string, Group<Member>>();
  readonly #addresses = new Map<string, Group<Member>>();
  readonly #known = new Ranking<Group<Member>>();
  readonly #unknown = new Ranking<Group<Member>>();
  readonly #byAddress = new Ranking<Group<Member>>();
  /** Connections of all accounts in {@link #unknown}. */
  #strangers = 0;
  /** Accounts that were ranked in {@link #unknown}. */
  readonly #ranked = new Set<Group<Member>>();

  /** @param slots MAX_CONNECTIONS */
  constructor(slots: number) {
    this.#slots = slots;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * The connection has logged in; or once more, after STARTTLS or in a trusted network; or a message of
   * its was accepted. Only the first time counts as its login.
   *
   * @param address what counts as one address
   */
  add(member: Member, owner: Owner | undefined, address: string, now: number): void {
    const before = this.#entries.get(member);
    if (before !== undefined && isSame(before, owner, address)) {
      return this.setActivity(member, "idle", now);
    }
    const joined = before?.joined ?? now;
    this.delete(member);
    const account = owner && groupOf(this.#accounts, owner.key, owner);
    const entry: Entry<Member> = {
      owner,
      account,
      address: groupOf(this.#addresses, address),
      activity: "busy",
      since: now,
      joined,
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

  /** The connection now does something else, or has made progress with what it does. */
  setActivity(member: Member, activity: Activity, now: number): void {
    const entry = this.#entries.get(member);
    if (entry === undefined) return;
    this.#move(member, entry, activity);
    entry.since = now;
    const { account } = entry;
    // It may have become known.
    if (account !== undefined && isUnknown(account) !== this.#ranked.has(account)) {
      this.#rank(account);
    }
  }

  /** Whether an account or address has more than its share, so that it will give up a slot. */
  hasOverShare(address: string): boolean {
    return this.#groups(address).next().done === false;
  }

  /**
   * The connection that makes room for a new one: of an account or address over its share.
   *
   * @param address of the new connection
   */
  nextToEvict(address: string, now: number): Member | undefined {
    const before = now - SETTLED_MS;
    for (const { members: { idle, waiting, receiving } } of this.#groups(address)) {
      const idlest = this.#firstBefore(idle, before);
      if (idlest !== undefined) return idlest;
      // The latest one: the others have waited longer, and are served sooner.
      const latest = [...waiting].at(-1);
      if (latest !== undefined) return latest;
      const longest = this.#firstBefore(receiving, before);
      if (longest !== undefined) return longest;
    }
    return undefined;
  }

  /** The first member that logged in before this time. Newer ones are mostly last. */
  #firstBefore(members: ReadonlySet<Member>, before: number): Member | undefined {
    for (const member of members) {
      if (this.#entries.get(member)!.joined <= before) return member;
    }
    return undefined;
  }

  *#groups(address: string): Generator<Group<Member>> {
    const share = accountShare(this.#slots);
    if (this.#strangers > share) yield this.#unknown.largest!;
    if (this.#known.largestSize > share) yield this.#known.largest!;
    const largest = this.#byAddress.largest;
    if (this.#byAddress.largestSize > addressShare(this.#slots) && largest!.key !== address) {
      yield largest!;
    }
  }

  #move(member: Member, entry: Entry<Member>, activity: Activity): void {
    const { account, address, activity: before } = entry;
    if (before !== "busy") {
      account?.members[before].delete(member);
      address.members[before].delete(member);
    }
    if (activity !== "busy") {
      account?.members[activity].add(member);
      address.members[activity].add(member);
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

  /** Ranks an account among the known or the unknown ones. It becomes known once. */
  #rank(account: Group<Member>): void {
    const unknown = isUnknown(account) && account.size > 0;
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

/** Whether nothing would change for a member, as after most messages. A group alone takes the owner's word. */
function isSame(
  { owner: before, account, address: { key } }: Entry<unknown>,
  owner: Owner | undefined,
  address: string,
): boolean {
  if (before !== owner || key !== address) return false;
  return account === undefined || account.owner === owner || account.size > 1;
}

function isUnknown({ owner }: Group<unknown>): boolean {
  return owner?.known === false;
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
