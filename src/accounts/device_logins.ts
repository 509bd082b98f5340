// Logins by an entry's id, which the relay may verify itself by the entry's own password. All that fail before the
// password is known to be right get one reply, after the same work: only the log has the reason.

import { type Reply, reply } from "../smtp/reply.ts";
import type { Secret } from "../secret.ts";
import type { LoginFailure } from "./account.ts";
import type { DevicePasswords } from "./device_passwords.ts";
import type { Entries, EntryResult } from "./entries.ts";
import { type Entry, isTableKey } from "./entry.ts";
import { formatPasswordHash, type PasswordHash } from "./password_hash.ts";

/** An id of the lookup, as a username names it. */
export interface IdName {
  readonly type: "lookup";
  readonly id: string;
  /** Set if the id is the whole username: why that has no other form. */
  readonly bare?: string;
}

export interface IdLogin {
  readonly name: IdName;
  readonly password: Secret;
  /** The client's address or network. */
  readonly client: string;
}

/** An entry that the username names. */
export interface FoundEntry {
  readonly type: "found";
  readonly entry: Entry;
  /** The hash that the password matches; left out if the entry has none, so that Entra ID has to verify it. */
  readonly hash?: string;
}

export class DeviceLogins {
  readonly #entries: Entries;
  readonly #passwords: DevicePasswords;

  constructor(entries: Entries, passwords: DevicePasswords) {
    this.#entries = entries;
    this.#passwords = passwords;
  }

  /** The entry of a login, whose password is right if the entry has one. */
  async find({ name, password, client }: IdLogin): Promise<FoundEntry | LoginFailure> {
    const before = await this.#entries.byId(name.id);
    if (before.type !== "entry" && tellsNothing(before, name)) return before;
    const known = usable(before, name);
    if (known !== undefined) {
      const hash = this.#passwords.quickMatch({ password, hashes: hashesOf(known) });
      if (known.device === undefined || hash !== undefined) return foundEntry(known, hash);
    }
    const now = await this.#readAgain(name, before);
    const entry = usable(now, name);
    if (entry !== undefined && entry.device === undefined) return foundEntry(entry);
    const hashes = hashesOf(entry);
    const result = await this.#passwords.check({ password, hashes, id: name.id, client });
    if (result.type === "right") return foundEntry(entry!, result.hash);
    await this.#entries.beforeRefusal(name.id);
    if (result.type === "crowded") return CROWDED;
    this.#entries.doubt(name);
    return failure(now, name);
  }

  /**
   * The entry as it is now: an administrator may have set the password a moment ago. It is read also where that
   * cannot help, so that all failures cause equally many queries: one at most, in two seconds.
   */
  async #readAgain(name: IdName, before: EntryResult): Promise<EntryResult> {
    this.#entries.doubt(name);
    const now = await this.#entries.byId(name.id);
    return now.type === "later" ? before : now;
  }
}

function foundEntry(entry: Entry, hash?: PasswordHash): FoundEntry {
  return {
    type: "found",
    entry,
    ...(hash === undefined ? {} : { hash: formatPasswordHash(hash) }),
  };
}

/** Whether a failure does not tell if there is an entry: the table does not answer, or no id may be so. */
export function tellsNothing({ type }: LoginFailure, { id }: IdName): boolean {
  return type === "later" || !isTableKey(id);
}

/** The entry, if the username may log in to it. */
function usable(found: EntryResult, { bare }: IdName): Entry | undefined {
  if (found.type !== "entry") return undefined;
  const { entry } = found;
  return bare !== undefined && entry.device === undefined ? undefined : entry;
}

function hashesOf(entry: Entry | undefined): readonly PasswordHash[] {
  return entry?.device?.hashes ?? [];
}

/** The one reply to all logins by an id that fail before their password is known to be right. */
export const WRONG_LOGIN: Reply = reply(
  535,
  "5.7.8",
  "The username or the password is wrong, or the account may not log in; see the relay's log",
);

/**
 * Why a client's own token may not log in to this entry. A password of the entry's own is for one device, and
 * nothing else may log in as that.
 */
export function tokenRefusal(found: EntryResult): LoginFailure | undefined {
  if (found.type !== "entry") return { ...found, reply: WRONG_LOGIN };
  const { id, device } = found.entry;
  return device && {
    type: "refused",
    reply: WRONG_LOGIN,
    detail: `entry ${JSON.stringify(id)} of the lookup has a password_hash: its device logs ` +
      "in with that password, and no token can",
    code: "TOKEN_MISMATCH",
    entry: { id, column: "password_hash" },
  };
}

/**
 * Why a made password is not shown to Entra ID as a client secret: its entry has lost its hash, or the device has
 * kept the username that it had with a secret.
 *
 * @param entry that the login has named by its id
 */
export function madeForDevice(entry: Entry | undefined): LoginFailure {
  const why = entry === undefined
    ? "whose username is the id of its entry"
    : `and entry ${JSON.stringify(entry.id)} of the lookup has no password_hash`;
  return refused(
    `the password has the form of a device's own, ${why}: Entra ID is not shown it`,
    {
      code: "NO_PASSWORD_HASH",
      ...(entry === undefined ? {} : { entry: { id: entry.id, column: "password_hash" } }),
    },
  );
}

/** Why a login by this id has failed; only the log has the reason. */
function failure(found: EntryResult, { bare }: IdName): LoginFailure {
  if (found.type !== "entry") {
    const { code, detail, entry } = found;
    if (entry !== undefined || bare === undefined) return { ...found, reply: WRONG_LOGIN };
    // Probably no bare id is meant.
    return refused(`${detail}, and ${bare}`, code === "NO_ENTRY" ? {} : { code });
  }
  const { id, device } = found.entry;
  const entry = { id, column: "password_hash" } as const;
  return device === undefined
    ? refused(
      `entry ${
        JSON.stringify(id)
      } of the lookup has no password_hash, so that its id alone is no username`,
      { code: "NO_PASSWORD_HASH", entry },
    )
    : refused(`it is not the password of entry ${JSON.stringify(id)} of the lookup`, {
      code: "WRONG_PASSWORD",
      entry,
    });
}

function refused(
  detail: string,
  more: Pick<LoginFailure, "entry"> & { code?: string | undefined },
): LoginFailure {
  const { code, entry } = more;
  return {
    type: "refused",
    reply: WRONG_LOGIN,
    detail,
    ...(code === undefined ? {} : { code }),
    ...(entry === undefined ? {} : { entry }),
  };
}

const CROWDED: LoginFailure = {
  type: "later",
  reply: reply(454, "4.7.0", "Too many passwords are being checked at once; try again"),
  detail:
    "the password was not checked: too many are being checked at once, or MAX_MEMORY is used up",
  code: "LOGINS_CROWDED",
};
