// The store `sqlite:`: one relay, one machine, one file and what lies beside it.
//
// The relay's thread never waits for the disk. What it asks goes to a worker, which has the database
// (worker.ts) and commits many operations with one sync (batches.ts). Contents that are too large for
// a row are files, written before their row is and deleted after it (files.ts). What is taken is known
// to this process alone (taking.ts), and a lock that the kernel frees keeps others out (open_queue.ts).

import { dirname } from "node:path";
import type { Worker } from "node:worker_threads";
import { type Clock, realClock } from "../../clock.ts";
import {
  isMessageId,
  type MessageProgress,
  type NewMessage,
  type Notes,
  type QueueStore,
  type Share,
  StoreError,
  type TakenMessage,
  type Usage,
} from "../store.ts";
import { Batches } from "./batches.ts";
import { codeOf, errorOf } from "./errors.ts";
import { type FileSystemFacts, type Statfs, statfs } from "./file_system.ts";
import {
  deleteContent,
  filesOf,
  MAX_IN_ROW,
  type QueueFiles,
  readContent,
  writeContent,
} from "./files.ts";
import { diskOf, placeOf, warnOfOthers } from "./place.ts";
import {
  type AddedMessage,
  type Crossing,
  crossing,
  type Response,
  type TakenRow,
  type Totals,
} from "./protocol.ts";

export interface SqliteQueueOptions {
  readonly clock?: Clock;
  /** Called at the opening if the file system holds a queue with a risk, or others can change it. */
  readonly warn?: (text: string) => void;
  readonly statfs?: Statfs;
  /** The worker's file. */
  readonly worker?: URL;
  /** The worker is gone, although nothing has closed it: every operation fails from now on. */
  readonly ended?: (error: StoreError) => void;
}

/** Defined by `build`: where the worker is in the executable. Undefined in a run from source. */
declare const RELAY_BUILD_QUEUE_WORKER: string | undefined;

/** The worker may have ended after its commit, and a log that could not be synced may be there after all. */
const UNCERTAIN: ReadonlySet<string> = new Set(["WORKER", "SQLITE_IOERR"]);

/** Milliseconds for which totals and free room are given without being looked at again. */
const FRESH = 1000;

/**
 * Opens the queue, and makes it if it is not there. Only one process may have it open.
 *
 * @param path of the database
 * @throws StoreSetupError if that needs somebody to change something; else StoreError
 */
export async function openSqliteQueue(
  path: string,
  options: SqliteQueueOptions = {},
): Promise<QueueStore> {
  const files = filesOf(await placeOf(path));
  const disk = await diskOf(files.database, options);
  if (options.warn !== undefined) await warnOfOthers(files, options.warn);
  const { Worker } = await import("node:worker_threads");
  const worker = new Worker(options.worker ?? workerUrl(), { workerData: files.database });
  return await new Promise((resolve, reject) => {
    const store = new SqliteQueue(worker, files, disk, options);
    worker.on("message", (response: Response) => {
      if ("opened" in response) {
        store.setTotals(response.opened);
        resolve(store);
      } else if ("refused" in response) reject(errorOf(response.refused));
      else store.received(response);
    });
    const ended = (text: string) => {
      const error = new StoreError("WORKER", `${files.database}: the store's worker ${text}`);
      if (store.lost(error)) options.ended?.(error);
      reject(error);
    };
    worker.on("error", (error: Error) => ended(`failed: ${error.message}`));
    worker.on("messageerror", (error: Error) => ended(`failed: ${error.message}`));
    worker.on("exit", () => ended("has ended"));
  });
}

class SqliteQueue implements QueueStore {
  readonly notes: Notes;
  readonly #worker: Worker;
  readonly #files: QueueFiles;
  readonly #clock: Clock;
  readonly #statfs: Statfs;
  readonly #batches: Batches;
  #totals: Totals | undefined;
  #disk: FileSystemFacts;
  #lookedAt: number;
  /** Contents that are being written to files, and their rows. */
  readonly #adding = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;
  /** Why there is no worker. */
  #lost: StoreError | undefined;
  #onEnd: (() => void) | undefined;
  /** Whether the worker has closed the database. */
  #hasClosed = false;

  constructor(
    worker: Worker,
    files: QueueFiles,
    disk: FileSystemFacts,
    options: SqliteQueueOptions,
  ) {
    this.#worker = worker;
    this.#files = files;
    this.#disk = disk;
    this.#clock = options.clock ?? realClock;
    this.#statfs = options.statfs ?? statfs;
    this.#lookedAt = this.#clock.now();
    this.#batches = new Batches(
      { postMessage: (request, transfer) => worker.postMessage(request, transfer) },
      (totals) => this.setTotals(totals),
    );
    this.notes = {
      get: async (key) => {
        const value = await this.#batches.run("getNote", { key, now: this.#now() });
        return value && new Uint8Array(value);
      },
      set: (key, value, until) =>
        this.#batches.run("setNote", {
          key,
          value: crossing(value),
          until: Math.ceil(until),
          now: this.#now(),
        }),
    };
  }

  add(message: NewMessage): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    const adding = this.#add(message).finally(() => this.#adding.delete(adding));
    this.#adding.add(adding);
    return adding;
  }

  async take(
    limit: number,
    busy: ReadonlySet<string>,
    busyAccounts: ReadonlySet<string> = new Set(),
  ): Promise<readonly TakenMessage[]> {
    const rows = await this.#batches.run("take", {
      limit,
      busy: [...busy],
      busyAccounts: [...busyAccounts],
      now: this.#now(),
    });
    return rows.map((row) => this.#takenMessage(row));
  }

  usage(): Usage {
    const now = this.#clock.now();
    if (now - this.#lookedAt >= FRESH) {
      this.#lookedAt = now;
      this.#look();
    }
    const { bsize, bavail, blocks } = this.#disk;
    return { ...this.#totals!, disk: { free: bavail * bsize, total: blocks * bsize } };
  }

  share(account: string): Promise<Share> {
    return this.#batches.run("share", { account });
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  setTotals(totals: Totals): void {
    this.#totals = totals;
  }

  received(response: Extract<Response, { results: unknown } | { closed: unknown }>): void {
    if ("results" in response) this.#batches.answered(response);
    else this.#hasClosed = true;
  }

  /** The worker is gone. @returns whether that is a failure, and the first sign of it, after the opening */
  lost(error: StoreError): boolean {
    const isNew = this.#lost === undefined && this.#closing === undefined &&
      this.#totals !== undefined;
    this.#lost ??= error;
    this.#batches.fail(error);
    this.#onEnd?.();
    return isNew;
  }

  async #add(message: NewMessage): Promise<void> {
    const { id, receivedAt, size, mailbox, account, connection, record, sealedSize } = message;
    if (!isMessageId(id)) {
      throw new StoreError("EINVAL", `not the id of a message: ${JSON.stringify(id)}`);
    }
    let content: ArrayBuffer | undefined;
    if (sealedSize <= MAX_IN_ROW) content = await gather(message);
    else await writeContent(this.#files, id, message.content());
    const added: AddedMessage = {
      id,
      receivedAt: Math.floor(receivedAt),
      size,
      mailbox,
      account,
      connection,
      record: crossing(record),
      octets: record.length + sealedSize,
      content,
    };
    try {
      await this.#batches.run(
        "add",
        { message: added, now: this.#now() },
        content === undefined ? [] : [content],
      );
    } catch (error) {
      // Where a row is certainly not stored; otherwise the file is deleted at the next start.
      if (content === undefined && !UNCERTAIN.has(codeOf(error))) {
        await deleteContent(this.#files, id);
      }
      throw error;
    }
  }

  async #close(): Promise<void> {
    // Those that write a file ask for their row only afterwards.
    await Promise.allSettled([...this.#adding]);
    await this.#batches.end(this.#closedError());
    if (this.#lost !== undefined) throw this.#lost;
    this.#worker.postMessage({ close: true });
    await new Promise<void>((resolve) => this.#onEnd = resolve);
    if (!this.#hasClosed) throw this.#lost!;
  }

  #takenMessage({ stored, inFile, token }: TakenRow): TakenMessage {
    const { id, record, note } = stored;
    const own = { id, token };
    return {
      stored: { ...stored, record: new Uint8Array(record), note: new Uint8Array(note) },
      content: () => inFile ? readContent(this.#files, id) : this.#contentOf(id),
      sending: (attempts, note) =>
        this.#batches.run("sending", { ...own, attempts, note: crossing(note), now: this.#now() }),
      remove: (recovered) => this.#batches.run("remove", { ...own, recovered, now: this.#now() }),
      giveBack: (progress, pause = 0) =>
        this.#batches.run("giveBack", {
          ...own,
          progress: plain(progress),
          pause: Math.ceil(pause),
          now: this.#now(),
        }),
    };
  }

  async *#contentOf(id: string): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(await this.#batches.run("content", { id }));
  }

  /** What other processes change shows in the totals too. */
  async #look(): Promise<void> {
    const looked = this.#batches.run("look", {});
    const disk = this.#statfs(dirname(this.#files.database));
    // What fails here keeps the figures as they were; the operations that need the disk say what it is.
    const [, facts] = await Promise.allSettled([looked, disk]);
    if (facts.status === "fulfilled") this.#disk = facts.value;
  }

  #now(): number {
    return Math.floor(this.#clock.date());
  }

  #closedError(): StoreError {
    return new StoreError("CLOSED", `${this.#files.database} is closed`);
  }
}

function workerUrl(): URL {
  return typeof RELAY_BUILD_QUEUE_WORKER === "undefined"
    ? new URL("./worker.ts", import.meta.url)
    : new URL(RELAY_BUILD_QUEUE_WORKER, import.meta.url);
}

/** The sealed content in memory that nothing else uses. */
async function gather(message: NewMessage): Promise<ArrayBuffer> {
  const octets = new Uint8Array(message.sealedSize);
  let length = 0;
  for await (const piece of message.content()) {
    if (length + piece.length > octets.length) break;
    octets.set(piece, length);
    length += piece.length;
  }
  if (length === octets.length) return octets.buffer;
  throw new StoreError(
    "EINVAL",
    `message ${message.id}: its content has not the size it should have`,
  );
}

function plain(progress: MessageProgress): Crossing<MessageProgress> {
  const { state, due, attempts, code, note } = progress;
  return { state, due: Math.ceil(due), attempts, code, note: crossing(note) };
}
