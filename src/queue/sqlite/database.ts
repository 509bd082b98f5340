// The database of the queue, in the worker: carries out what the relay asks, many operations in one
// transaction, which is one sync.

import { unlinkSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { StoreError } from "../store.ts";
import { codeOf, type ErrorFacts, factsOf, storeError } from "./errors.ts";
import { contentFile, type QueueFiles } from "./files.ts";
import {
  type Answer,
  type Asked,
  crossing,
  type Kind,
  Operation,
  Operations,
  Result,
  Totals,
} from "./protocol.ts";
import { Reserve } from "./reserve.ts";
import { readyOf, type Row } from "./rows.ts";
import { Taking } from "./taking.ts";

/** What also has to happen if the transaction is committed, and if it is not. */
interface Consequences {
  readonly committed: (() => void)[];
  readonly undone: (() => void)[];
}

type Handlers = { readonly [K in Kind]: (asked: Asked<K>, then: Consequences) => Answer<K> };

/** Operations that only read: they need not wait for another process's write. */
const READS: ReadonlySet<Kind> = new Set<Kind>(["content", "getNote", "look"]);
/** Operations that take up room: on a full disk they fail, and the reserve is not for them. */
const GROWS: ReadonlySet<Kind> = new Set<Kind>(["add", "setNote"]);

/** Pages in the write-ahead log from which they are copied into the database. */
const CHECKPOINT = 1000;
/** Free pages from which they are given back to the file system, and how many at once. */
const MANY_FREE = 1000;
const VACUUM = 500;
/** Milliseconds until the next round of tidying. */
const AGAIN = 1000;
const SOON = 100;

/** Notes whose time is over that go with each new one. */
const FORGOTTEN = 8;

export class QueueDatabase {
  readonly #db: DatabaseSync;
  readonly #files: QueueFiles;
  readonly #reserve: Reserve;
  readonly #taking: Taking;
  readonly #handlers: Handlers;
  readonly #statements = new Map<string, StatementSync>();
  /**
   * What became of taken messages and could not be stored yet, by their id. As long as it is in here the
   * message stays taken, so that nothing sends it again.
   */
  readonly #owed = new Map<string, Operation>();
  /** Whether the reserve is given up: what room there is, is for changes of what is there. */
  #isShort = false;
  #totals: Totals;

  /**
   * @param db set up, and owned by this from now on
   * @throws what SQLite says
   */
  constructor(db: DatabaseSync, files: QueueFiles, reserve: Reserve) {
    this.#db = db;
    this.#files = files;
    this.#reserve = reserve;
    this.#taking = new Taking(db);
    db.exec("pragma wal_autocheckpoint = 0");
    this.#handlers = {
      add: (asked) => this.#add(asked),
      take: ({ limit, busy, now }, { undone }) => {
        const taken = this.#taking.take(limit, new Set(busy), now);
        undone.push(() => {
          for (const { stored } of taken) this.#taking.free(stored.id);
        });
        return taken;
      },
      sending: (asked, then) => this.#sending(asked, then),
      remove: (asked, then) => this.#remove(asked, then),
      giveBack: (asked, then) => this.#giveBack(asked, then),
      content: ({ id }) => this.#content(id),
      getNote: ({ key, now }) => {
        const row = this.#sql("select value from note where key = ? and until > ?").get(key, now);
        return row && crossing(row["value"] as Uint8Array);
      },
      setNote: ({ key, value, until, now }) => {
        this.#sql(
          "delete from note where key in " +
            `(select key from note where until <= ? order by until limit ${FORGOTTEN})`,
        ).run(now);
        this.#sql(
          "insert into note values (?, ?, ?) " +
            "on conflict (key) do update set value = excluded.value, until = excluded.until",
        ).run(key, new Uint8Array(value), until);
      },
      look: () => {},
    };
    this.#totals = this.#readTotals();
  }

  /** Commits what can be done of the operations. Their changes are on stable storage when it returns. */
  run(operations: readonly Operation[]): readonly Result[] {
    let results = this.#transaction(operations);
    const needsRoom = operations.some(({ kind }, index) =>
      !GROWS.has(kind) && isFull(results[index]!)
    );
    if (needsRoom) {
      this.#makeRoom();
      const rest = operations.filter(({ kind }) => !GROWS.has(kind));
      const again = this.#transaction(rest).values();
      results = results.map((result, index) =>
        GROWS.has(operations[index]!.kind) ? result : again.next().value!
      );
    }
    for (const [index, operation] of operations.entries()) {
      if (operation.kind !== "remove" && operation.kind !== "giveBack") continue;
      if ("error" in results[index]!) this.#owed.set(operation.id, operation);
      else this.#owed.delete(operation.id);
    }
    return results;
  }

  /** The last ones, if the database cannot be read. */
  totals(): Totals {
    this.#try(() => this.#totals = this.#readTotals());
    return this.#totals;
  }

  #readTotals(): Totals {
    const messages = { queued: 0, sending: 0, held: 0, dead: 0 };
    let octets = 0;
    for (const row of this.#sql("select state, messages, octets from total").all()) {
      messages[row["state"] as keyof typeof messages] = row["messages"] as number;
      octets += row["octets"] as number;
    }
    const oldest = this.#sql(
      `select min(received) as oldest from (
         select received from message where seq = (select min(first) from lane)
         union all select min(received) from message where ready = 0
       )`,
    ).get()?.["oldest"];
    return { messages, octets, oldest: oldest === null ? undefined : oldest as number };
  }

  /** Copies the write-ahead log into the database if it has become long. After the answers. */
  checkpoint(): void {
    this.#try(() => {
      const row = this.#sql("pragma wal_checkpoint(noop)").get() as Row;
      if ((row["log"] as number) - (row["checkpointed"] as number) >= CHECKPOINT) {
        this.#db.exec("pragma wal_checkpoint(passive)");
      }
    });
  }

  /**
   * Does a part of what is left to do, for some milliseconds.
   *
   * @param idle whether little else is asked at the moment
   * @returns milliseconds until it wants to go on; undefined if nothing is left
   */
  tidy(idle: boolean): number | undefined {
    if (this.#owed.size > 0) this.run([...this.#owed.values()]);
    if (this.#reserve.make()) this.#isShort = false;
    // Free pages that the next messages would use are not worth moving others.
    if (!idle) return AGAIN;
    let hasMore = false;
    this.#try(() => {
      const free = this.#sql("pragma freelist_count").get()?.["freelist_count"] as number;
      if (free < MANY_FREE) return;
      // It gives a row for each page, and Deno's `exec` ends at the first one.
      this.#sql(`pragma incremental_vacuum(${VACUUM})`).all();
      // The file becomes shorter with it. Passive: it does not wait for readers.
      this.#db.exec("pragma wal_checkpoint(passive)");
      hasMore = true;
    });
    if (hasMore) return SOON;
    return this.#owed.size > 0 ? AGAIN : undefined;
  }

  /** What cannot be stored or copied now, stays in the write-ahead log or as it was. */
  close(): void {
    if (this.#owed.size > 0) this.run([...this.#owed.values()]);
    this.#try(() => this.#db.exec("pragma wal_checkpoint(truncate)"));
    this.#try(() => this.#db.close());
  }

  #transaction(operations: readonly Operation[]): readonly Result[] {
    const then: Consequences = { committed: [], undone: [] };
    const reads = operations.every(({ kind }) => READS.has(kind));
    try {
      this.#sql(reads ? "begin" : "begin immediate").run();
      const results = operations.map((operation) => this.#one(operation, then));
      this.#sql("commit").run();
      for (const follow of then.committed) follow();
      return results;
    } catch (error) {
      this.#try(() => {
        if (this.#db.isTransaction) this.#db.exec("rollback");
      });
      for (const undo of then.undone) undo();
      const facts = this.#facts(error);
      return operations.map(() => ({ error: facts }));
    }
  }

  /** @throws what ends the whole transaction */
  #one(operation: Operation, then: Consequences): Result {
    if (READS.has(operation.kind)) {
      try {
        return { value: this.#handle(operation, then) };
      } catch (error) {
        if (!this.#db.isTransaction) throw error;
        return { error: this.#facts(error) };
      }
    }
    this.#sql("savepoint one").run();
    const own: Consequences = { committed: [], undone: [] };
    try {
      const value = this.#handle(operation, own);
      this.#sql("release one").run();
      then.committed.push(...own.committed);
      then.undone.push(...own.undone);
      return { value };
    } catch (error) {
      for (const undo of own.undone) undo();
      // The transaction goes on without this operation if it can. SQLite's full disk is for `run`.
      const facts = this.#facts(error);
      const isRefused = error instanceof StoreError;
      if (facts.full && !isRefused || !this.#db.isTransaction) throw error;
      this.#sql("rollback to one").run();
      this.#sql("release one").run();
      return { error: facts };
    }
  }

  #handle<K extends Kind>(operation: Operation & { kind: K }, then: Consequences): Answer<K> {
    const handler = this.#handlers[operation.kind] as (
      asked: Operations[K]["asked"],
      then: Consequences,
    ) => Answer<K>;
    return handler(operation as unknown as Operations[K]["asked"], then);
  }

  #add({ message, now }: Asked<"add">): void {
    const { id, mailbox, connection } = message;
    if (this.#isShort) {
      throw new StoreError("ENOSPC", `${this.#files.database}: its disk is full (ENOSPC)`, true);
    }
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

  #sending({ id, attempts, note, now }: Asked<"sending">, { committed }: Consequences): boolean {
    const { changes } = this.#sql(
      `update message set state = 'sending', ready = 1, due = ?, attempts = ?, note = ?
       where id = ? and state in ('queued', 'sending')`,
    ).run(now, attempts, new Uint8Array(note), id);
    if (Number(changes) > 0) return true;
    committed.push(() => this.#taking.free(id));
    return false;
  }

  #remove({ id }: Asked<"remove">, { committed }: Consequences): void {
    const row = this.#sql("delete from message where id = ? returning in_file").get(id);
    committed.push(() => {
      this.#taking.free(id);
      // What stays is found and deleted at the next start: it has no row any more.
      if (row?.["in_file"] === 1) this.#try(() => unlinkSync(contentFile(this.#files, id)));
    });
  }

  #giveBack({ id, progress, now }: Asked<"giveBack">, { committed }: Consequences): void {
    const { state, due, attempts, code, note } = progress;
    this.#sql(
      `update message set state = ?, ready = ?, due = ?, attempts = ?, code = ?, note = ?
       where id = ? and state in ('queued', 'sending')`,
    ).run(state, readyOf(state, due, now), due, attempts, code, new Uint8Array(note), id);
    committed.push(() => this.#taking.free(id));
  }

  #content(id: string): ArrayBuffer {
    const row = this.#sql(
      "select octets from content where seq = (select seq from message where id = ?)",
    ).get(id);
    if (row !== undefined) return crossing(row["octets"] as Uint8Array);
    throw new StoreError("ENOENT", `${this.#files.database} has no content of message ${id}`);
  }

  /** For what changes messages that are there: gives the reserve up, and shortens the log. */
  #makeRoom(): void {
    if (this.#reserve.release()) this.#isShort = true;
    this.#try(() => this.#db.exec("pragma wal_checkpoint(truncate)"));
  }

  #facts(error: unknown): ErrorFacts {
    return factsOf(storeError(this.#files.database, error));
  }

  #try(run: () => void): void {
    try {
      run();
    } catch (error) {
      // A failing checkpoint or vacuum loses nothing; what is broken, the next operation reports.
      void codeOf(error);
    }
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, statement = this.#db.prepare(text));
    return statement;
  }
}

function isFull(result: Result): boolean {
  return "error" in result && result.error.full;
}
