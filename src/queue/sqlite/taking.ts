// Which messages are next. Its work depends on how many are wanted, how many are taken and how many
// mailboxes are busy, and not on how many messages wait: see schema.ts.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { crossingMessage, type TakenRow } from "./protocol.ts";
import { COLUMNS, messageOf, type Row } from "./rows.ts";

/** Messages that become ready in one call; the rest do so in the next ones. */
const MAX_READIED = 1000;

/**
 * Messages of one mailbox in one call. Graph works on four requests of a mailbox at a time: more would
 * wait in memory, in the place of other mailboxes' messages.
 */
const MAX_OF_MAILBOX = 4;

/** Lanes and heads that are read at once. */
const PAGE = 32;

interface Lane {
  readonly mailbox: string;
  readonly first: number;
}

/** The messages that this process has taken. They are not marked in the database: a crash frees them. */
export class Taking {
  readonly #taken = new Map<string, { readonly connection: string }>();
  /** Connections with a taken message. */
  readonly #connections = new Set<string>();
  readonly #due: StatementSync;
  readonly #ready: StatementSync;
  readonly #lanes: StatementSync;
  readonly #heads: StatementSync;
  readonly #message: StatementSync;

  constructor(db: DatabaseSync) {
    this.#due = db.prepare(
      `select seq from message where ready = 0 and due <= ? order by due limit ${MAX_READIED}`,
    );
    this.#ready = db.prepare("update message set ready = 1 where seq = ?");
    this.#lanes = db.prepare(
      `select mailbox, first from lane where first > ? order by first limit ${PAGE}`,
    );
    this.#heads = db.prepare(
      `select seq, id, connection from message
       where mailbox = ? and head = 1 and seq > ? order by seq limit ${PAGE}`,
    );
    this.#message = db.prepare(`select ${COLUMNS} from message where seq = ?`);
  }

  /**
   * The oldest message of each mailbox, then the next oldest of each, and so on. What is returned is
   * taken until {@link free}.
   *
   * @param now milliseconds of Unix time
   */
  take(limit: number, busy: ReadonlySet<string>, now: number): TakenRow[] {
    for (const { seq } of this.#due.all(now) as unknown as { seq: number }[]) this.#ready.run(seq);
    const taken: TakenRow[] = [];
    try {
      this.#takeFrom(limit, busy, taken);
    } catch (error) {
      for (const { stored } of taken) this.free(stored.id);
      throw error;
    }
    return taken;
  }

  #takeFrom(limit: number, busy: ReadonlySet<string>, taken: TakenRow[]): void {
    let lanes: Lane[] = [];
    for (const lane of this.#eachLane()) {
      if (taken.length >= limit) return;
      if (busy.has(lane.mailbox)) continue;
      const row = this.#takeOne(lane);
      if (row === undefined) continue;
      taken.push(row);
      lanes.push(lane);
    }
    for (let round = 1; round < MAX_OF_MAILBOX; round++) {
      const more: Lane[] = [];
      for (const lane of lanes) {
        if (taken.length >= limit) return;
        const row = this.#takeOne(lane);
        if (row === undefined) continue;
        taken.push(row);
        more.push(lane);
      }
      lanes = more;
    }
  }

  /** @returns whether it was taken */
  free(id: string): boolean {
    const entry = this.#taken.get(id);
    if (entry === undefined) return false;
    this.#taken.delete(id);
    this.#connections.delete(entry.connection);
    return true;
  }

  *#eachLane(): Generator<Lane> {
    let after = -1;
    while (true) {
      const page = this.#lanes.all(after) as unknown as Lane[];
      yield* page;
      if (page.length < PAGE) return;
      after = page.at(-1)!.first;
    }
  }

  /** Passes over as many heads as are taken, or whose connection has a taken message. */
  #takeOne({ mailbox, first }: Lane): TakenRow | undefined {
    let after = first - 1;
    while (true) {
      const page = this.#heads.all(mailbox, after) as unknown as {
        readonly seq: number;
        readonly id: string;
        readonly connection: string;
      }[];
      for (const { seq, id, connection } of page) {
        if (this.#taken.has(id) || this.#connections.has(connection)) continue;
        this.#taken.set(id, { connection });
        this.#connections.add(connection);
        const row = this.#message.get(seq) as Row;
        return { stored: crossingMessage(messageOf(row)), inFile: row["in_file"] === 1 };
      }
      if (page.length < PAGE) return undefined;
      after = page.at(-1)!.seq;
    }
  }
}
