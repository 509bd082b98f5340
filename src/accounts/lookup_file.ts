// The entries of LOOKUP_FILE, in memory: loaded at the start, again when the file changes, and as they were
// while it cannot be used. Loaded only where the setting is set.

import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import process from "node:process";
import type { Row } from "./entry.ts";
import { type FileContent, readLookupFile, signatureOf } from "./lookup_file_content.ts";
import {
  findUnusable,
  load,
  type Loaded,
  type Pause,
  type Unusable,
} from "./lookup_file_entries.ts";
import { LookupFileError } from "./lookup_file_reader.ts";

export { LookupFileError };

/** Milliseconds between two looks at the file: a change must be in use within 60 s. */
const INTERVAL = 5_000;
/** Milliseconds that a changed file must stay unchanged before it is read: it may still be written. */
const SETTLE = 500;
/** How often one look waits for that. */
const SETTLE_TRIES = 10;
/** Milliseconds in which a file system may give two changes the same time. */
const COARSE = 2_000;
/** Milliseconds between two looks because of refused logins. */
const DOUBTED = 2_000;
/** Milliseconds that a login waits for such a look: the file may be on a network. */
const PATIENCE = 1_000;
/** Milliseconds that a requested look may take. */
const TIMEOUT = 30_000;

export interface LookupFileOptions {
  readonly path: string;
  /** What happens to the file. Must not throw. */
  report(report: LookupFileReport): void;
  /** Why a file cannot be read, in words. */
  explain(error: unknown): string;
  /** Milliseconds between two looks; 5 s when left out. */
  readonly interval?: number;
  /** Waits half a second, in which a changed file must stay the same. */
  readonly settle?: (signal: AbortSignal) => Promise<unknown>;
  /** Gives others their turn. */
  readonly pause?: Pause;
}

export type LookupFileReport =
  /** @property change `unchanged`: it was looked at on request, or could not be used before */
  | {
    readonly type: "loaded" | "replaced" | "unchanged";
    readonly entries: number;
    readonly unusable: Unusable;
  }
  /** A new one cannot be used; the entries stay as they were. */
  | { readonly type: "kept"; readonly reason: string; readonly entries: number }
  | { readonly type: "exposed"; readonly to: "read" | "write"; readonly mode: number };

export interface LookupFileState {
  readonly entries: number;
  readonly unusable: number;
  /** When the entries were loaded, milliseconds since 1970. */
  readonly loadedAt: number;
  /** Set while the file cannot be used, so that these entries are older than it. */
  readonly failed?: { readonly at: number; readonly reason: string };
}

export class LookupFile {
  readonly #options: LookupFileOptions;
  readonly #pause: Pause;
  readonly #stopping = new AbortController();
  #loaded: Loaded;
  #unusable: Unusable = { count: 0, named: [] };
  /** Of the content that was read last, good or bad; undefined to read again in any case. */
  #seen: string | undefined;
  /** Why the file cannot be used, and the content that this was said of. */
  #failed: { readonly at: number; readonly reason: string; readonly what: string } | undefined;
  #exposed = "";
  #last: Promise<void> = Promise.resolve();
  /** Looks that are under way or wait for one. */
  #looking = 0;
  /** The requested look that has not begun yet. */
  #refreshing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #doubted = false;
  #lookedAt = -Infinity;

  /** Loads the file and watches it. @throws LookupFileError with one line for the administrator */
  static async open(options: LookupFileOptions): Promise<LookupFile> {
    const { pause = turn } = options;
    const content = await readContent(options);
    const file = new LookupFile(options, pause, await load(content, pause));
    await file.#inUse("loaded", content);
    file.#schedule();
    return file;
  }

  private constructor(
    options: LookupFileOptions,
    pause: Pause,
    loaded: Loaded,
  ) {
    this.#options = options;
    this.#pause = pause;
    this.#loaded = loaded;
  }

  /** The row with this id. */
  find(id: string): Row | undefined {
    return this.#loaded.rows.get(id);
  }

  /** All rows of this client, the first by id first. @param clientId UUID in lower case */
  findByClient(clientId: string): readonly Row[] {
    return this.#loaded.ofClient(clientId);
  }

  /** All rows, in the file's order. */
  get rows(): Iterable<Row> {
    return this.#loaded.rows.values();
  }

  get state(): LookupFileState {
    const { rows, at } = this.#loaded;
    const failed = this.#failed;
    return {
      entries: rows.size,
      unusable: this.#unusable.count,
      loadedAt: at,
      ...(failed === undefined ? {} : { failed: { at: failed.at, reason: failed.reason } }),
    };
  }

  /** Looks at the file at once: an administrator says that it has changed. Never fails. */
  async refresh(): Promise<void> {
    // Requests that come before the look begins share it.
    this.#refreshing ??= this.#oneByOne(() => {
      this.#refreshing = undefined;
      return this.#look("requested");
    });
    await this.#within(TIMEOUT, this.#refreshing);
  }

  /** A login was refused: an administrator who corrects the file waits for the next one. */
  doubt(): void {
    this.#doubted = true;
  }

  /** Before a login: looks at the file if it was {@link doubt}ed, at most once in two seconds. */
  async beforeLogin(): Promise<void> {
    const now = performance.now();
    if (!this.#doubted || now - this.#lookedAt < DOUBTED) return;
    this.#doubted = false;
    this.#lookedAt = now;
    // A look that hangs is not followed by one more for each login.
    const look = this.#looking > 0 ? this.#last : this.#oneByOne(() => this.#look("doubted"));
    await this.#within(PATIENCE, look);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  #schedule(): void {
    const { interval = INTERVAL } = this.#options;
    this.#timer = setTimeout(async () => {
      await this.#oneByOne(() => this.#look("due"));
      if (!this.#stopping.signal.aborted) this.#schedule();
    }, interval);
  }

  #oneByOne(look: () => Promise<void>): Promise<void> {
    this.#looking++;
    this.#last = this.#last.then(look).finally(() => this.#looking--);
    return this.#last;
  }

  /** A look that takes longer goes on, but is not waited for. */
  async #within(time: number, look: Promise<void>): Promise<void> {
    const over = new AbortController();
    await Promise.race([look, sleep(time, undefined, { signal: over.signal }).catch(() => {})]);
    over.abort();
  }

  /**
   * Reads the file if it has changed.
   *
   * @param why `due`: waits until a writer has finished; `doubted`: says nothing of a bad file
   */
  async #look(why: "due" | "requested" | "doubted"): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    let signature: string | undefined;
    try {
      signature = await signatureOf(this.#options.path);
      if (signature === this.#seen && why !== "requested") return;
      if (why === "due") signature = await this.#settled(signature);
      const content = await readContent(this.#options);
      if (content.revision === this.#loaded.revision) return await this.#same(content, why);
      const loaded = await load(content, this.#pause);
      if (this.#stopping.signal.aborted) return;
      this.#loaded = loaded;
      await this.#inUse("replaced", content);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      const reason = this.#reasonOf(error);
      if (why !== "doubted") this.#keep(reason, signature, why === "requested");
    }
  }

  /** Waits until the file does not change any more, for some seconds at most. */
  async #settled(signature: string): Promise<string> {
    const { path, settle = (signal) => sleep(SETTLE, undefined, { signal }) } = this.#options;
    let before = signature;
    for (let tries = 0; tries < SETTLE_TRIES; tries++) {
      await settle(this.#stopping.signal);
      const now = await signatureOf(path);
      if (now === before) return now;
      before = now;
    }
    throw new LookupFileError("it keeps changing");
  }

  /** The entries that are in use have come from this content. */
  async #inUse(type: "loaded" | "replaced", content: FileContent): Promise<void> {
    this.#note(content);
    this.#failed = undefined;
    this.#unusable = await findUnusable(this.#loaded, this.#pause);
    if (this.#stopping.signal.aborted) return;
    const { rows } = this.#loaded;
    this.#options.report({ type, entries: rows.size, unusable: this.#unusable });
    this.#warnOfMode(content.mode);
  }

  async #same(content: FileContent, why: string): Promise<void> {
    await Promise.resolve();
    this.#note(content);
    const again = this.#failed !== undefined;
    this.#failed = undefined;
    const { rows: { size: entries } } = this.#loaded;
    if (again || why === "requested") {
      this.#options.report({ type: "unchanged", entries, unusable: this.#unusable });
    }
    this.#warnOfMode(content.mode);
  }

  #keep(reason: string, signature: string | undefined, requested: boolean): void {
    // A file that cannot be read may become readable without a change of its own.
    this.#seen = signature;
    const what = `${signature} ${reason}`;
    const isNew = what !== this.#failed?.what;
    if (!isNew && !requested) return;
    this.#failed = { at: Date.now(), reason, what };
    this.#options.report({ type: "kept", reason, entries: this.#loaded.rows.size });
  }

  /** A change that came with the same time as the last one would not show: then it is read again. */
  #note({ signature, changedAt }: FileContent): void {
    this.#seen = Math.abs(Date.now() - changedAt) < COARSE ? undefined : signature;
  }

  /** Hashes are of no use to others, but a weak chosen password can be guessed from its hash. */
  #warnOfMode(mode: number): void {
    if (process.platform === "win32") return;
    const to = (mode & 0o002) !== 0
      ? "write"
      : (mode & 0o004) !== 0 && this.#loaded.hasHashes
      ? "read"
      : undefined;
    const exposed = to === undefined ? "" : `${to} ${mode}`;
    if (exposed === this.#exposed) return;
    this.#exposed = exposed;
    if (to !== undefined) this.#options.report({ type: "exposed", to, mode });
  }

  #reasonOf(error: unknown): string {
    return error instanceof LookupFileError ? error.message : this.#options.explain(error);
  }
}

/** @throws LookupFileError */
async function readContent({ path, explain }: LookupFileOptions): Promise<FileContent> {
  try {
    return await readLookupFile(path);
  } catch (error) {
    if (error instanceof LookupFileError) throw error;
    throw new LookupFileError(explain(error));
  }
}
