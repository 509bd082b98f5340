// Keeps the events that wait in the queue's store, so that they outlast the relay. What was added in the last
// two seconds before a crash may be missing; what was delivered just before it may come again, with its id.

import { Buffer } from "node:buffer";
import type { Clock } from "../clock.ts";
import { asBuffer } from "../octets.ts";
import { type Sealer, SealError } from "../queue/sealing.ts";
import type { Notes } from "../queue/store.ts";
import type { PendingEvent } from "./outbox.ts";

export interface KeptEventsOptions {
  readonly notes: Notes;
  readonly sealer: Sealer;
  /** Of the relay, so that several of them on one store do not mix their events. */
  readonly name: string;
  readonly clock: Clock;
  readonly report: KeptEventsReport;
}

export interface KeptEventsReport {
  /** The store has failed; called each time. */
  failed(error: unknown): void;
  /** It works again. */
  recovered(): void;
}

/** What has the events, such as a `Webhook`. */
export interface EventSource {
  readonly pending: readonly PendingEvent[];
  restore(events: readonly PendingEvent[]): void;
}

/** Milliseconds between two looks. */
const INTERVAL = 2_000;
/** Milliseconds for which they are kept: older ones are dropped anyway. */
const LIFETIME = 86_400_000;
/** Octets of one note: only the last one is written again when events are added. */
const CHUNK = 64 * 1024;

interface Chunk {
  readonly index: number;
  readonly events: PendingEvent[];
  octets: number;
}

export class KeptEvents {
  readonly #options: KeptEventsOptions;
  readonly #source: EventSource;
  readonly #chunks: Chunk[] = [];
  /** Those that are not written as they are. */
  readonly #changed = new Set<Chunk>();
  #next = 0;
  /** Whether what an earlier relay has left was read: until then, nothing must be written over it. */
  #isRead = false;
  #isFailing = false;
  #cancel: (() => void) | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(source: EventSource, options: KeptEventsOptions) {
    this.#source = source;
    this.#options = options;
  }

  /** Hands over what an earlier relay of this name has left, and begins to keep. */
  async open(): Promise<void> {
    await this.#save();
    this.#watch();
  }

  /** Keeps what is left now, and ends. */
  async close(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#saving;
    // What an earlier relay has left stays for the next one.
    if (this.#isRead) await this.#save();
  }

  #watch(): void {
    this.#cancel = this.#options.clock.alarm(INTERVAL, () => {
      this.#saving = this.#save().then(() => {
        if (this.#cancel !== undefined) this.#watch();
      });
    });
  }

  /** Never fails. */
  async #save(): Promise<void> {
    const { report } = this.#options;
    try {
      if (!this.#isRead) await this.#restore();
      await this.#writeChanges();
      if (this.#isFailing) report.recovered();
      this.#isFailing = false;
    } catch (error) {
      this.#isFailing = true;
      report.failed(error);
    }
  }

  async #writeChanges(): Promise<void> {
    const { pending } = this.#source;
    if (pending.length === 0 && this.#chunks.length === 0) return;
    await this.#forget(new Set(pending.map(({ id }) => id)));
    const kept = new Set(this.#chunks.flatMap(({ events }) => events.map(({ id }) => id)));
    await this.#append(pending.filter(({ id }) => !kept.has(id)));
  }

  async #restore(): Promise<void> {
    const range = await this.#read("range") as { first: number; next: number } | undefined;
    const chunks: Chunk[] = [];
    for (let index = range?.first ?? 0; index < (range?.next ?? 0); index++) {
      const events = await this.#read(String(index)) as PendingEvent[] | undefined;
      if (events !== undefined) chunks.push({ index, events, octets: CHUNK });
    }
    this.#chunks.push(...chunks);
    this.#next = range?.next ?? 0;
    this.#isRead = true;
    this.#source.restore(chunks.flatMap(({ events }) => events));
  }

  /** Deletes the notes whose events have all gone. */
  async #forget(waiting: ReadonlySet<string>): Promise<void> {
    const { notes, clock } = this.#options;
    for (let [chunk] = this.#chunks; chunk !== undefined; [chunk] = this.#chunks) {
      if (chunk.events.some(({ id }) => waiting.has(id))) break;
      await notes.set(this.#key(String(chunk.index)), new Uint8Array(0), clock.date());
      this.#chunks.shift();
      this.#changed.delete(chunk);
    }
  }

  async #append(added: readonly PendingEvent[]): Promise<void> {
    for (const event of added) {
      let chunk = this.#chunks.at(-1);
      if (chunk === undefined || chunk.octets >= CHUNK) {
        this.#chunks.push(chunk = { index: this.#next++, events: [], octets: 0 });
      }
      chunk.events.push(event);
      chunk.octets += event.body.length;
      this.#changed.add(chunk);
    }
    if (this.#changed.size === 0) return;
    // Before the chunks: a chunk that is missing does no harm.
    await this.#write("range", { first: this.#chunks[0]!.index, next: this.#next });
    for (const chunk of this.#changed) {
      await this.#write(String(chunk.index), chunk.events);
      this.#changed.delete(chunk);
    }
  }

  #key(part: string): string {
    const { sealer, name } = this.#options;
    return `webhook-${sealer.hash("webhook", name, part)}`;
  }

  async #write(part: string, value: unknown): Promise<void> {
    const { notes, sealer, clock } = this.#options;
    const key = this.#key(part);
    const octets = Buffer.from(JSON.stringify(value), "utf8");
    await notes.set(key, sealer.seal(octets, key), clock.date() + LIFETIME);
  }

  async #read(part: string): Promise<unknown> {
    const { notes, sealer } = this.#options;
    const key = this.#key(part);
    const sealed = await notes.get(key);
    try {
      return sealed && JSON.parse(asBuffer(sealer.open(sealed, key)).toString("utf8"));
    } catch (error) {
      // Sealed with a key that is not in QUEUE_KEY any more, or changed: as if it had been dropped.
      if (error instanceof SealError) return undefined;
      throw error;
    }
  }
}
