// The database of the queue, in the worker: many operations in one transaction, which is one sync; and
// what becomes of them on a full disk.

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { StoreError } from "../store.ts";
import { damaged, type ErrorFacts, factsOf, isDamage, storeError } from "./errors.ts";
import type { QueueFiles } from "./files.ts";
import { type Consequences, Operations } from "./operations.ts";
import type { Kind, Operation, Result, Totals } from "./protocol.ts";
import type { Reserve } from "./reserve.ts";
import type { Row } from "./rows.ts";

/** Operations that only read: they need not wait for another process's write. */
const READS: ReadonlySet<Kind> = new Set<Kind>(["content", "getNote", "share", "look"]);
/** Operations that take up room: on a full disk they fail, and the reserve is not for them. */
const GROWS: ReadonlySet<Kind> = new Set<Kind>(["add", "setNote"]);

/**
 * Pages in the write-ahead log from which they are copied into the database. A longer log would share its syncs
 * among more messages, but on a full disk there is no more room than the reserve for what is in it.
 */
const CHECKPOINT = 1000;
/**
 * How long the log is, is asked each time that about so many pages were added to it: asking takes a sixth of
 * the time of a commit. An operation changes about this many pages besides those of its octets.
 */
const ASK_AFTER = 50;
const OPERATION = 8;
const PAGE = 4096;
/** Free pages from which they are given back to the file system, and how many at once. */
const MANY_FREE = 1000;
const VACUUM = 500;
/** Milliseconds until the next round of tidying. */
const AGAIN = 1000;
const SOON = 100;

export class QueueDatabase {
  readonly #db: DatabaseSync;
  readonly #files: QueueFiles;
  readonly #reserve: Reserve;
  readonly #operations: Operations;
  readonly #sql: Readonly<
    Record<"begin" | "beginImmediate" | "commit" | "savepoint" | "release" | "log", StatementSync>
  >;
  /**
   * What became of taken messages and could not be stored yet, by their id. As long as it is in here the
   * message stays taken, so that nothing sends it again.
   */
  readonly #owed = new Map<string, Operation>();
  /** Whether the reserve is given up: what room there is, is for changes of what is there. */
  #isShort = false;
  /** Whether SQLite has found damage since the start: what is added now might be lost with the rest. */
  #isDamaged = false;
  #totals: Totals;
  /** Since the length of the log was asked, about. */
  #pages = 0;

  /**
   * @param db set up, and owned by this from now on
   * @throws what SQLite says
   */
  constructor(db: DatabaseSync, files: QueueFiles, reserve: Reserve) {
    this.#db = db;
    this.#files = files;
    this.#reserve = reserve;
    this.#operations = new Operations(db, files);
    this.#totals = this.#operations.totals();
    this.#sql = {
      begin: db.prepare("begin"),
      beginImmediate: db.prepare("begin immediate"),
      commit: db.prepare("commit"),
      savepoint: db.prepare("savepoint one"),
      release: db.prepare("release one"),
      log: db.prepare("pragma wal_checkpoint(noop)"),
    };
    // After the answers, not before them: see `checkpoint`.
    db.exec("pragma wal_autocheckpoint = 0");
  }

  /** Commits what can be done of the operations. Their changes are on stable storage when it returns. */
  run(operations: readonly Operation[]): readonly Result[] {
    let results = this.#transaction(operations);
    const isHeldUp = operations.some(({ kind }, index) =>
      !GROWS.has(kind) && isFull(results[index]!)
    );
    if (isHeldUp) {
      const rest = operations.filter(({ kind }) => !GROWS.has(kind));
      // Those that take up no room go by themselves, and with the reserve only if they must.
      let again = rest.length < operations.length ? this.#transaction(rest) : results;
      if (again.some(isFull)) {
        this.#makeRoom();
        again = this.#transaction(rest);
      }
      const each = again.values();
      results = results.map((result, index) =>
        GROWS.has(operations[index]!.kind) ? result : each.next().value!
      );
    }
    for (const [index, operation] of operations.entries()) {
      if (operation.kind !== "remove" && operation.kind !== "giveBack") continue;
      if ("error" in results[index]!) this.#owed.set(operation.id, operation);
      else this.#owed.delete(operation.id);
    }
    return results;
  }

  /** As of the last operations; older ones, if the database could not be read then. */
  get totals(): Totals {
    return this.#totals;
  }

  /** Copies the write-ahead log into the database if it has become long. */
  checkpoint(): void {
    if (this.#pages >= ASK_AFTER) this.#copyLongLog();
  }

  /**
   * Does a part of what is left to do, for some milliseconds.
   *
   * @param idle whether little else is asked at the moment
   * @returns milliseconds until it wants to go on; undefined if nothing is left
   */
  tidy(idle: boolean): number | undefined {
    if (this.#owed.size > 0) this.run([...this.#owed.values()]);
    // What was counted is less than what a large deletion changes.
    this.#copyLongLog();
    if (this.#reserve.make()) this.#isShort = false;
    // Free pages that the next messages would use are not worth moving others.
    if (!idle) return AGAIN;
    let hasMore = false;
    this.#try(() => {
      const { freelist_count: free } = this.#db.prepare("pragma freelist_count").get() as Row;
      if (free as number < MANY_FREE) return;
      // It gives a row for each page, and one runtime's `exec` ends at the first one.
      this.#db.prepare(`pragma incremental_vacuum(${VACUUM})`).all();
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
    if (!reads) { for (const operation of operations) this.#pages += pagesOf(operation); }
    try {
      (reads ? this.#sql.begin : this.#sql.beginImmediate).run();
      // One that is alone needs no savepoint: what undoes the transaction undoes it.
      const savepoints = operations.length > 1;
      const results = operations.map((operation) => this.#one(operation, then, savepoints));
      // In the same transaction: one of their own would take twice as long.
      this.#readTotals();
      this.#sql.commit.run();
      for (const follow of then.committed) follow();
      return results;
    } catch (error) {
      this.#try(() => {
        if (this.#db.isTransaction) this.#db.exec("rollback");
      });
      for (const undo of then.undone.reverse()) undo();
      this.#readTotals();
      const facts = this.#facts(error);
      return operations.map(() => ({ error: facts }));
    }
  }

  /**
   * @param savepoint whether the transaction has other operations, which go on if this one fails
   * @throws what ends the whole transaction
   */
  #one(operation: Operation, then: Consequences, savepoint: boolean): Result {
    if (this.#isShort && GROWS.has(operation.kind)) {
      const error = new StoreError("ENOSPC", `${this.#files.database}: its disk is full`, true);
      return { error: this.#facts(error) };
    }
    if (this.#isDamaged && GROWS.has(operation.kind)) {
      return { error: this.#facts(damaged(this.#files.database)) };
    }
    const own: Consequences = { committed: [], undone: [] };
    const saves = savepoint && !READS.has(operation.kind);
    try {
      if (saves) this.#sql.savepoint.run();
      const value = this.#operations.carryOut(operation, own);
      if (saves) this.#sql.release.run();
      then.committed.push(...own.committed);
      then.undone.push(...own.undone);
      return { value };
    } catch (error) {
      for (const undo of own.undone.reverse()) undo();
      const facts = this.#facts(error);
      // The transaction goes on without this operation if it can. A full disk is for `run` to see to.
      if (facts.full || !savepoint || !this.#db.isTransaction) throw error;
      if (saves) this.#db.exec("rollback to one; release one");
      return { error: facts };
    }
  }

  /** For what changes messages that are there: gives the reserve up, and shortens the log. */
  #makeRoom(): void {
    if (this.#reserve.release()) this.#isShort = true;
    this.#try(() => this.#db.exec("pragma wal_checkpoint(truncate)"));
  }

  #facts(error: unknown): ErrorFacts {
    const found = storeError(this.#files.database, error);
    if (isDamage(found)) this.#isDamaged = true;
    return factsOf(found);
  }

  #copyLongLog(): void {
    this.#pages = 0;
    this.#try(() => {
      const row = this.#sql.log.get() as Row;
      if ((row["log"] as number) - (row["checkpointed"] as number) >= CHECKPOINT) {
        this.#db.exec("pragma wal_checkpoint(passive)");
      }
    });
  }

  #readTotals(): void {
    this.#try(() => this.#totals = this.#operations.totals());
  }

  /** For what loses nothing if it fails; what is broken, the next operation reports. */
  #try(run: () => void): void {
    try {
      run();
    } catch {
      return;
    }
  }
}

function isFull(result: Result): boolean {
  return "error" in result && result.error.full;
}

function pagesOf(operation: Operation): number {
  const octets = operation.kind === "add" ? operation.message.content?.byteLength ?? 0 : 0;
  return OPERATION + octets / PAGE;
}
