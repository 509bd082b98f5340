/** A queue's store in memory, which does exactly what `src/queue/store.ts` says. */
import type { Clock } from "../../src/clock.ts";
import type {
  ChangeResult,
  MessageState,
  NewMessage,
  QueueStore,
  Share,
  StoredMessage,
  TakenMessage,
  Usage,
} from "../../src/queue/store.ts";

interface Kept {
  stored: StoredMessage;
  content: Uint8Array[];
  /** By whom it is taken, if it is. */
  owner: symbol | undefined;
}

export type StoreOperation =
  | "add"
  | "take"
  | "sending"
  | "remove"
  | "giveBack"
  | "content"
  | "note";

export class MemoryQueue implements QueueStore {
  readonly #clock: Pick<Clock, "date">;
  /** In order of arrival. */
  readonly #kept = new Map<string, Kept>();
  readonly #pauses = new Map<string, number>();
  readonly #notes = new Map<string, { readonly value: Uint8Array; readonly until: number }>();
  /** What was done, such as `remove 0001 all`. Takes only if they gave something. */
  readonly log: string[] = [];
  /** Calls of `take`. */
  takes = 0;
  /** Called before each operation; fails it by throwing or rejecting, or delays it. */
  before: (operation: StoreOperation, id: string) => void | Promise<void> = () => {};
  disk: Usage["disk"];

  constructor(clock: Pick<Clock, "date">) {
    this.#clock = clock;
  }

  readonly notes = {
    get: async (key: string): Promise<Uint8Array | undefined> => {
      await this.before("note", key);
      const note = this.#notes.get(key);
      return note === undefined || note.until <= this.#clock.date() ? undefined : note.value;
    },
    set: async (key: string, value: Uint8Array, until: number): Promise<void> => {
      await this.before("note", key);
      this.log.push(`note ${key}`);
      this.#notes.set(key, { value, until });
    },
  };

  /** The keys of notes that count now. */
  get noted(): readonly string[] {
    return [...this.#notes].filter(([, { until }]) => until > this.#clock.date())
      .map(([key]) => key);
  }

  async add(message: NewMessage): Promise<void> {
    const { content, sealedSize, ...facts } = message;
    const pieces: Uint8Array[] = [];
    for await (const piece of content()) pieces.push(new Uint8Array(piece));
    await this.before("add", message.id);
    if (this.#kept.has(message.id)) throw new Error(`message ${message.id} is there already`);
    if (pieces.reduce((sum, { length }) => sum + length, 0) !== sealedSize) {
      throw new Error("the content has another size");
    }
    const stored: StoredMessage = {
      ...facts,
      state: "queued",
      due: 0,
      attempts: 0,
      code: "",
      note: new Uint8Array(0),
    };
    this.#kept.set(message.id, { stored, content: pieces, owner: undefined });
    this.log.push(`add ${message.id}`);
  }

  async take(
    limit: number,
    busy: ReadonlySet<string>,
    busyAccounts: ReadonlySet<string> = new Set(),
  ): Promise<readonly TakenMessage[]> {
    this.takes++;
    await this.before("take", "");
    const now = this.#clock.date();
    const mailboxes = new Set(busy);
    const connections = new Set<string>();
    for (const { owner, stored } of this.#kept.values()) {
      if (owner !== undefined) connections.add(stored.connection);
    }
    const taken: TakenMessage[] = [];
    for (const kept of this.#kept.values()) {
      if (taken.length >= limit) break;
      const { stored, owner } = kept;
      const { state, due, mailbox, connection, id } = stored;
      const isReady = state === "sending" || state === "queued" && due <= now;
      if (owner !== undefined || !isReady || (this.#pauses.get(mailbox) ?? 0) > now) continue;
      if (mailboxes.has(mailbox) || connections.has(connection)) continue;
      if (busyAccounts.has(stored.account)) continue;
      mailboxes.add(mailbox);
      connections.add(connection);
      taken.push(this.#taken(id, kept));
    }
    return taken;
  }

  share(account: string): Promise<Share> {
    const all = [...this.#kept.values()];
    const own = all.filter(({ stored }) => stored.account === account);
    const octets = own.map(({ stored, content }) =>
      content.reduce((sum, { length }) => sum + length, stored.record.length)
    ).reduce((sum, one) => sum + one, 0);
    return Promise.resolve({ messages: own.length, octets, isAlone: own.length === all.length });
  }

  usage(): Usage {
    const messages: Record<MessageState, number> = { queued: 0, sending: 0, held: 0, dead: 0 };
    let octets = 0;
    let oldest: number | undefined;
    let oldestDead: number | undefined;
    for (const { stored: { state, due, receivedAt, record }, content } of this.#kept.values()) {
      messages[state]++;
      octets += content.reduce((sum, { length }) => sum + length, record.length);
      if (state !== "held" && state !== "dead") oldest = Math.min(oldest ?? Infinity, receivedAt);
      if (state === "dead") oldestDead = Math.min(oldestDead ?? Infinity, due);
    }
    return { messages, octets, oldest, oldestDead, disk: this.disk };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The process has ended: nothing is taken any more. */
  crash(): void {
    for (const kept of this.#kept.values()) kept.owner = undefined;
  }

  retry(id: string): ChangeResult {
    return this.#change(id, (kept) => {
      kept.stored = { ...kept.stored, state: "queued", due: this.#clock.date() };
      this.#pauses.delete(kept.stored.mailbox);
    });
  }

  delete(id: string): ChangeResult {
    return this.#change(id, () => this.#kept.delete(id));
  }

  stored(id: string): StoredMessage | undefined {
    return this.#kept.get(id)?.stored;
  }

  /** Changes what is stored behind the relay's back. */
  tamper(
    id: string,
    change: (stored: StoredMessage, content: Uint8Array[]) => StoredMessage,
  ): void {
    const kept = this.#kept.get(id)!;
    kept.stored = change(kept.stored, kept.content);
  }

  /** The ids of the messages in a state, in order of arrival. */
  ids(state?: MessageState): string[] {
    return [...this.#kept.values()].map(({ stored }) => stored)
      .filter((stored) => state === undefined || stored.state === state).map(({ id }) => id);
  }

  #taken(id: string, kept: Kept): TakenMessage {
    const owner = Symbol(id);
    kept.owner = owner;
    const current = () => this.#kept.get(id)?.owner === owner ? kept : undefined;
    const read = async function* (queue: MemoryQueue) {
      await queue.before("content", id);
      yield* kept.content;
    };
    return {
      stored: kept.stored,
      content: () => read(this),
      sending: async (attempts, note) => {
        await this.before("sending", id);
        const own = current();
        if (own === undefined) return false;
        own.stored = { ...own.stored, state: "sending", due: this.#clock.date(), attempts, note };
        this.log.push(`sending ${id}`);
        return true;
      },
      remove: async (recovered) => {
        await this.before("remove", id);
        if (current() !== undefined) {
          this.#kept.delete(id);
          this.log.push(`remove ${id}${recovered === undefined ? "" : ` ${recovered}`}`);
        }
        if (recovered !== undefined) this.#recover(recovered, kept.stored.mailbox);
      },
      giveBack: async (progress, pause = 0) => {
        await this.before("giveBack", id);
        if (pause > 0) this.#pauses.set(kept.stored.mailbox, pause);
        const own = current();
        if (own === undefined) return false;
        own.owner = undefined;
        own.stored = { ...own.stored, ...progress };
        this.log.push(`${progress.state} ${id}`);
        return true;
      },
    };
  }

  #recover(recovered: "mailbox" | "all", mailbox: string): void {
    const concerned = (other: string) => recovered === "all" || other === mailbox;
    for (const name of [...this.#pauses.keys()]) if (concerned(name)) this.#pauses.delete(name);
    const now = this.#clock.date();
    for (const kept of this.#kept.values()) {
      const { state, code, due, mailbox: name } = kept.stored;
      if (state === "queued" && code !== "" && due > now && concerned(name)) {
        kept.stored = { ...kept.stored, due: now };
      }
    }
  }

  #change(id: string, change: (kept: Kept) => void): ChangeResult {
    const kept = this.#kept.get(id);
    if (kept === undefined) return "unknown";
    if (kept.stored.state === "sending") return "sending";
    change(kept);
    return "done";
  }
}
