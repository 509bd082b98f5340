// What the relay can ask of the database, each in the transaction that is open.

import { unlinkSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type MessageState, type Share, StoreError } from "../store.ts";
import { contentFile, type QueueFiles } from "./files.ts";
import {
  type Answer,
  type Asked,
  crossing,
  type Kind,
  type Operation,
  type Totals,
} from "./protocol.ts";
import { bounded, readyOf, type Row } from "./rows.ts";
import { Taking } from "./taking.ts";

/** What also has to happen if the transaction is committed, and if it is not. */
export interface Consequences {
  readonly committed: (() => void)[];
  readonly undone: (() => void)[];
}

type Handlers = { readonly [K in Kind]: (asked: Asked<K>, then: Consequences) => Answer<K> };

/** Notes whose time is over that go with each new one. */
const FORGOTTEN = 8;

const messagesIn = (state: MessageState) =>
  `(select ${bounded("messages")} from total where state = '${state}') as ${state}`;

const TOTALS = `select
  ${(["queued", "sending", "held", "dead"] as const).map(messagesIn).join(", ")},
  (select total(octets) from total) as octets,
  (select ${bounded("min(received)")} from message where seq in (
    (select min(first) from lane where paused = 0),
    (select min(first) from lane where paused = 1),
    (select min(seq) from message where ready = 0)
  )) as oldest,
  (select ${bounded("due")} from message where state = 'dead' order by due limit 1) as oldest_dead`;

export class Operations {
  readonly #db: DatabaseSync;
  readonly #files: QueueFiles;
  readonly #taking: Taking;
  readonly #handlers: Handlers;
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync, files: QueueFiles) {
    this.#db = db;
    this.#files = files;
    this.#taking = new Taking(db);
    this.#handlers = {
      add: (asked) => this.#add(asked),
      take: ({ limit, busy, busyAccounts, now }, { undone }) => {
        const unwanted = { mailboxes: new Set(busy), accounts: new Set(busyAccounts) };
        return this.#taking.take(limit, unwanted, now, undone);
      },
      sending: (asked, then) => this.#sending(asked, then),
      remove: (asked, then) => this.#remove(asked, then),
      giveBack: (asked, then) => this.#giveBack(asked, then),
      content: ({ id }) => this.#content(id),
      getNote: (asked) => this.#getNote(asked),
      setNote: (asked) => this.#setNote(asked),
      share: ({ account }) => this.#share(account),
      look: () => {},
    };
  }

  /** @throws StoreError, and what SQLite says */
  carryOut<K extends Kind>(operation: { kind: K } & Operation, then: Consequences): Answer<K> {
    const handler = this.#handlers[operation.kind] as (
      asked: unknown,
      then: Consequences,
    ) => Answer<K>;
    return handler(operation, then);
  }

  /** @throws what SQLite says */
  totals(): Totals {
    // One statement: each would take and free the locks of a transaction of its own.
    const row = this.#sql(TOTALS).get() as Row;
    const number = (name: string) => row[name] as number ?? 0;
    return {
      messages: {
        queued: number("queued"),
        sending: number("sending"),
        held: number("held"),
        dead: number("dead"),
      },
      octets: number("octets"),
      oldest: row["oldest"] as number | null ?? undefined,
      oldestDead: row["oldest_dead"] as number | null ?? undefined,
    };
  }

  #add({ message, now }: Asked<"add">): void {
    const { id, mailbox, connection } = message;
    const { lastInsertRowid } = this.#sql(
      `insert into message (id, state, ready, head, due, attempts, code, received, size, octets, in_file,
         mailbox, account, connection, record, note)
       values (?, 'queued', 1,
         not exists (select 1 from message where mailbox = ? and connection = ? and ready = 1),
         ?, 0, '', ?, ?, ?, ?, ?, ?, ?, ?, x'')`,
    ).run(
      id,
      mailbox,
      connection,
      now,
      message.receivedAt,
      message.size,
      message.octets,
      message.content === undefined ? 1 : 0,
      mailbox,
      message.account,
      connection,
      new Uint8Array(message.record),
    );
    if (message.content !== undefined) {
      this.#sql("insert into content values (?, ?)").run(
        lastInsertRowid,
        new Uint8Array(message.content),
      );
    }
  }

  #sending(asked: Asked<"sending">, { committed }: Consequences): boolean {
    if (!this.#taking.isTaken(asked)) return false;
    const { id, attempts, note, now } = asked;
    const { changes } = this.#sql(
      `update message set state = 'sending', ready = 1, due = ?, attempts = ?, note = ?
       where id = ? and state in ('queued', 'sending')`,
    ).run(now, attempts, new Uint8Array(note), id);
    if (Number(changes) > 0) return true;
    committed.push(() => this.#taking.free(asked));
    return false;
  }

  #remove(asked: Asked<"remove">, { committed, undone }: Consequences): void {
    if (!this.#taking.isTaken(asked)) return;
    const { id, recovered, now } = asked;
    const row = this.#sql("delete from message where id = ? returning mailbox, in_file").get(id);
    committed.push(() => {
      this.#taking.free(asked);
      if (row?.["in_file"] === 1) this.#unlink(id);
    });
    if (recovered === undefined) return;
    const mailbox = recovered === "all" ? undefined : row?.["mailbox"] as string | undefined;
    if (recovered === "all") this.#sql("delete from pause").run();
    else if (mailbox === undefined) return;
    else this.#sql("delete from pause where mailbox = ?").run(mailbox);
    this.#taking.recover(mailbox, now, undone);
  }

  #giveBack(asked: Asked<"giveBack">, { committed }: Consequences): boolean {
    if (!this.#taking.isTaken(asked)) return false;
    const { id, progress: { state, due, attempts, code, note }, pause, now } = asked;
    const { changes } = this.#sql(
      `update message set state = ?, ready = ?, due = ?, attempts = ?, code = ?, note = ?
       where id = ? and state in ('queued', 'sending')`,
    ).run(state, readyOf(state, due, now), due, attempts, code, new Uint8Array(note), id);
    if (pause > now) {
      this.#sql(
        `insert into pause select mailbox, ? from message where id = ?
         on conflict do update set until = max(until, excluded.until)`,
      ).run(pause, id);
    }
    committed.push(() => this.#taking.free(asked));
    return Number(changes) > 0;
  }

  #content(id: string): ArrayBuffer {
    const row = this.#sql(
      "select octets from content where seq = (select seq from message where id = ?)",
    ).get(id);
    if (row !== undefined) return crossing(row["octets"] as Uint8Array);
    throw new StoreError("ENOENT", `${this.#files.database} has no content of message ${id}`);
  }

  #share(account: string): Share {
    const own = this.#sql(
      `select ${bounded("messages")} as messages, ${bounded("octets")} as octets from share
       where account = ?`,
    ).get(account);
    const other = this.#sql("select 1 from share where account <> ? limit 1").get(account);
    const { messages = 0, octets = 0 } = (own ?? {}) as Partial<Share>;
    return { messages, octets, isAlone: other === undefined };
  }

  #getNote({ key, now }: Asked<"getNote">): ArrayBuffer | undefined {
    const row = this.#sql("select value from note where key = ? and until > ?").get(key, now);
    return row && crossing(row["value"] as Uint8Array);
  }

  #setNote({ key, value, until, now }: Asked<"setNote">): void {
    this.#sql(
      `delete from note
       where key in (select key from note where until <= ? order by until limit ${FORGOTTEN})`,
    ).run(now);
    this.#sql(
      `insert into note values (?, ?, ?)
       on conflict (key) do update set value = excluded.value, until = excluded.until`,
    ).run(key, new Uint8Array(value), until);
  }

  /** What stays is found and deleted at the next start: it has no row any more. */
  #unlink(id: string): void {
    try {
      unlinkSync(contentFile(this.#files, id));
    } catch {
      // Gone already, or it stays.
    }
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, statement = this.#db.prepare(text));
    return statement;
  }
}
