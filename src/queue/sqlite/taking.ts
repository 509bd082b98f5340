// Which messages are next. Its work depends on how many are wanted, how many are taken and how many
// mailboxes are busy, or those of busy accounts, and not on how many messages wait: see schema.ts.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { FURTHEST_AHEAD } from "../store.ts";
import { crossingMessage, type OwnMessage, type TakenRow } from "./protocol.ts";
import { COLUMNS, messageOf, type Row } from "./rows.ts";

/** Messages that become ready in one call, and mailboxes whose pause ends; the others do in the next. */
const MAX_READIED = 1000;
/** Lanes and heads that are read at once. */
const PAGE = 32;
/** Lanes of busy accounts that one call passes over. */
const MAX_PASSED = 2000;

interface Lane {
  readonly mailbox: string;
  readonly first: number;
  /** Of the first message; only where accounts are busy. */
  readonly account?: string;
}

/** Whose messages are not wanted now. */
export interface Unwanted {
  readonly mailboxes: ReadonlySet<string>;
  readonly accounts: ReadonlySet<string>;
}

/** Waiting messages that are to become ready although they are not due, as far as they are not yet. */
interface Recovery {
  /** Undefined: all. */
  readonly mailbox: string | undefined;
  /** Those after this one, in order of arrival. */
  readonly after: number;
}

/** The messages that this process has taken. They are not marked in the database: a crash frees them. */
export class Taking {
  readonly #taken = new Map<string, { readonly token: number; readonly connection: string }>();
  /** Connections with a taken message. */
  readonly #connections = new Set<string>();
  #tokens = 0;
  #recoveries: readonly Recovery[] = [];
  readonly #statements: Record<
    | "due"
    | "misdated"
    | "ready"
    | "waiting"
    | "waitingOf"
    | "pauses"
    | "misdatedPauses"
    | "unpause"
    | "lanes"
    | "lanesOfAccounts"
    | "heads"
    | "message",
    StatementSync
  >;

  constructor(db: DatabaseSync) {
    this.#statements = {
      due: db.prepare("select seq from message where ready = 0 and due <= ? order by due limit ?"),
      misdated: db.prepare("select seq from message where ready = 0 and due > ? limit ?"),
      ready: db.prepare("update message set ready = 1, due = min(due, ?) where seq = ?"),
      waiting: db.prepare(
        "select seq from message where ready = 0 and seq > ? order by seq limit ?",
      ),
      waitingOf: db.prepare(
        "select seq from message where ready = 0 and seq > ? and mailbox = ? order by seq limit ?",
      ),
      pauses: db.prepare(
        `select mailbox from pause where until <= ? order by until limit ${MAX_READIED}`,
      ),
      misdatedPauses: db.prepare(
        `select mailbox from pause where until > ? limit ${MAX_READIED}`,
      ),
      unpause: db.prepare("delete from pause where mailbox = ?"),
      lanes: db.prepare(
        `select mailbox, first from lane where paused = 0 and first > ? order by first limit ${PAGE}`,
      ),
      // A mailbox has one account, or several entries' of one app.
      lanesOfAccounts: db.prepare(
        `select lane.mailbox, lane.first, message.account
         from lane join message on message.seq = lane.first
         where lane.paused = 0 and lane.first > ? order by lane.first limit ${PAGE}`,
      ),
      heads: db.prepare(
        `select seq, id, connection from message
         where mailbox = ? and head = 1 and seq > ? order by seq limit ${PAGE}`,
      ),
      message: db.prepare(`select ${COLUMNS} from message where seq = ?`),
    };
  }

  /**
   * The oldest message of each mailbox, the oldest first. What is returned is taken until {@link free}.
   *
   * @param now milliseconds of Unix time
   * @param undone what has to happen if the transaction is not committed
   */
  take(
    limit: number,
    unwanted: Unwanted,
    now: number,
    undone: (() => void)[],
  ): readonly TakenRow[] {
    const taken: TakenRow[] = [];
    undone.push(() => {
      for (const { stored: { id } } of taken) this.#forget(id);
    });
    this.#unpause(now);
    this.#makeReady(now, undone);
    let passed = 0;
    for (const lane of this.#eachLane(unwanted.accounts.size > 0)) {
      if (taken.length >= limit || passed > MAX_PASSED) break;
      if (unwanted.mailboxes.has(lane.mailbox)) continue;
      if (lane.account !== undefined && unwanted.accounts.has(lane.account)) {
        passed++;
        continue;
      }
      const row = this.#takeOne(lane);
      if (row !== undefined) taken.push(row);
    }
    return taken;
  }

  isTaken({ id, token }: OwnMessage): boolean {
    return this.#taken.get(id)?.token === token;
  }

  free(message: OwnMessage): void {
    if (this.isTaken(message)) this.#forget(message.id);
  }

  /** What waits because it failed need not wait any longer. @param mailbox undefined: all of them */
  recover(mailbox: string | undefined, now: number, undone: (() => void)[]): void {
    this.#recover([
      ...this.#recoveries.filter((other) => mailbox !== undefined && other.mailbox !== mailbox),
      { mailbox, after: -1 },
    ], undone);
    this.#makeReady(now, undone);
  }

  #recover(recoveries: readonly Recovery[], undone: (() => void)[]): void {
    const before = this.#recoveries;
    this.#recoveries = recoveries;
    undone.push(() => this.#recoveries = before);
  }

  #forget(id: string): void {
    this.#connections.delete(this.#taken.get(id)!.connection);
    this.#taken.delete(id);
  }

  #unpause(now: number): void {
    const { pauses, misdatedPauses, unpause } = this.#statements;
    const over = [...pauses.all(now), ...misdatedPauses.all(now + FURTHEST_AHEAD)];
    for (const { mailbox } of over) unpause.run(mailbox!);
  }

  #makeReady(now: number, undone: (() => void)[]): void {
    const { due, misdated, ready, waiting, waitingOf } = this.#statements;
    let left = MAX_READIED;
    const make = (rows: readonly Row[]) => {
      for (const { seq } of rows) ready.run(now, seq!);
      left -= rows.length;
    };
    make(due.all(now, left));
    make(misdated.all(now + FURTHEST_AHEAD, left));
    while (left > 0 && this.#recoveries.length > 0) {
      const [{ mailbox, after }, ...rest] = this.#recoveries as [Recovery];
      const rows = mailbox === undefined
        ? waiting.all(after, left)
        : waitingOf.all(after, mailbox, left);
      const last = rows.at(-1)?.["seq"] as number | undefined;
      this.#recover(rows.length === left ? [{ mailbox, after: last! }, ...rest] : rest, undone);
      make(rows);
    }
  }

  *#eachLane(withAccounts: boolean): Generator<Lane> {
    const { lanes, lanesOfAccounts } = this.#statements;
    let after = -1;
    while (true) {
      const page = (withAccounts ? lanesOfAccounts : lanes).all(after) as unknown as Lane[];
      yield* page;
      if (page.length < PAGE) return;
      after = page.at(-1)!.first;
    }
  }

  /** Passes over as many heads as are taken, or whose connection has a taken message. */
  #takeOne({ mailbox, first }: Lane): TakenRow | undefined {
    let after = first - 1;
    while (true) {
      const page = this.#statements.heads.all(mailbox, after) as unknown as {
        readonly seq: number;
        readonly id: string;
        readonly connection: string;
      }[];
      for (const { seq, id, connection } of page) {
        if (this.#taken.has(id) || this.#connections.has(connection)) continue;
        const row = this.#statements.message.get(seq) as Row;
        const token = this.#tokens++;
        this.#taken.set(id, { token, connection });
        this.#connections.add(connection);
        return { stored: crossingMessage(messageOf(row)), inFile: row["in_file"] === 1, token };
      }
      if (page.length < PAGE) return undefined;
      after = page.at(-1)!.seq;
    }
  }
}
