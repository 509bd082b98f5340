// What the `queue` command does with the messages, beside the running relays.
//
// It sees blobs only: a pointer that is hidden cannot be found. A message that waits for a later time, and
// one that is held or dead, is at no relay, and is changed at once. Any other one may be at a relay now: then
// the command first writes to the blob that it is about to change it, and waits until each relay either
// has ended its attempt, has written `sending` to the blob, or leaves the message alone
// (verdict.ts). A relay that stands still for longer than that between its look at the blob and the
// request that sends, may still send a message that was deleted.

import { Buffer } from "node:buffer";
import type { Clock } from "../../clock.ts";
import {
  type ChangeResult,
  type FoundMessage,
  type Notes,
  type QueueAdministration,
  type StoredMessage,
  StoreError,
} from "../store.ts";
import { type BlobEntry, blobName, type BlobVersion, factsOf } from "./message_blob.ts";
import type { MessageBlobs } from "./message_blobs.ts";
import type { Pointers } from "./pointers.ts";
import { MARK, SEEN } from "./verdict.ts";

/** Milliseconds that a command waits for the relays: longer than their two, and what requests take. */
export const SETTLE = SEEN + MARK + 6000;
/** Milliseconds until a message is due, from which on it is at no relay: more than `EARLY` of receiver.ts. */
const SKEW = 60_000;
/** Milliseconds after which a message that is due should have been received, were its pointer there. */
const OVERDUE = 600_000;
/** Milliseconds after which the relay that wrote `sending` must be gone, and has no successor. */
const ABANDONED = 3_600_000;
/** How often a message is looked at that relays change meanwhile. */
const MOST_TRIES = 4;
/** Seconds that a new pointer stays hidden while the blob is changed. */
const UNFINISHED = 60;
/** Messages whose records are read at the same time. */
const AT_ONCE = 16;
/** Names that are remembered, so that a listed message is found by its id without another list. */
const MAX_NAMES = 200_000;

type Listed = BlobVersion & { readonly name: string };

export class AzureAdministration implements QueueAdministration {
  readonly notes: Pick<Notes, "get">;
  readonly #blobs: MessageBlobs;
  readonly #pointers: Pointers;
  readonly #clock: Clock;
  readonly #names = new Map<string, string>();
  /** The list that the next page is read from, after the message of that name. */
  #list: { after: string | undefined; readonly blobs: AsyncIterator<Listed> } | undefined;

  constructor(
    blobs: MessageBlobs,
    pointers: Pointers,
    notes: Pick<Notes, "get">,
    clock: Clock,
  ) {
    this.notes = notes;
    this.#blobs = blobs;
    this.#pointers = pointers;
    this.#clock = clock;
  }

  async list(limit: number, after?: StoredMessage): Promise<readonly StoredMessage[]> {
    const last = after === undefined ? undefined : blobName(after);
    if (this.#list === undefined || last === undefined || this.#list.after !== last) {
      this.#list = { after: last, blobs: this.#listed() };
    }
    const { blobs } = this.#list;
    const page: Listed[] = [];
    while (page.length < limit) {
      const { value, done } = await blobs.next();
      if (done) break;
      const blob = value as Listed;
      // Names sort by arrival.
      if (last === undefined || blob.name > last) page.push(blob);
    }
    this.#list.after = page.at(-1)?.name;
    const messages: (StoredMessage | undefined)[] = [];
    for (let i = 0; i < page.length; i += AT_ONCE) {
      messages.push(
        ...await Promise.all(page.slice(i, i + AT_ONCE).map((blob) => this.#stored(blob))),
      );
    }
    const found = messages.filter((message) => message !== undefined);
    // All of a page may have been sent meanwhile, which is not the end of the list.
    return found.length === 0 && page.length > 0 ? await this.#after(limit, page) : found;
  }

  async find(id: string): Promise<FoundMessage | undefined> {
    const blob = await this.#blob(id);
    if (blob === undefined) return undefined;
    const stored = await this.#stored(blob);
    if (stored === undefined) return undefined;
    const { name, size } = blob;
    return { stored, content: () => this.#blobs.octets(name, blob.entry.recordSize, size) };
  }

  async retry(id: string): Promise<ChangeResult> {
    const blob = await this.#blob(id);
    if (blob === undefined) return "unknown";
    const { state, due } = blob.entry;
    const overdue = this.#clock.date() - Math.max(due, blob.modifiedAt);
    // It is due already, and its pointer is about to be received.
    if (state === "queued" && due <= this.#clock.date() && overdue < OVERDUE) return "done";
    return await this.#changed(blob, (settled) => this.#revive(settled));
  }

  async delete(id: string): Promise<ChangeResult> {
    const blob = await this.#blob(id);
    if (blob === undefined) return "unknown";
    return await this.#changed(blob, async ({ name, etag }) => {
      const result = await this.#blobs.delete(name, etag);
      if (result === "deleted") this.#names.delete(id);
      // Its pointer is dropped when it is received.
      return result;
    });
  }

  async close(): Promise<void> {
    await this.#list?.blobs.return?.();
    this.#list = undefined;
  }

  /**
   * Changes a message that no relay is at.
   *
   * @param change is tried again if the blob was changed meanwhile
   */
  async #changed(
    blob: Listed,
    change: (blob: Listed) => Promise<"deleted" | "revived" | "changed" | "missing">,
  ): Promise<ChangeResult> {
    let current: Listed | undefined = blob;
    for (let tries = 1; tries <= MOST_TRIES; tries++) {
      const settled: Listed | "sending" | undefined = await this.#settled(current);
      // If it does not exist any more, it was sent while the command waited.
      if (settled === undefined || settled === "sending") return "sending";
      const result = await change(settled);
      if (result === "deleted" || result === "revived") return "done";
      if (result === "changed") current = await this.#look(blob.name);
      if (result === "missing" || current === undefined) return "sending";
    }
    throw new StoreError("CONFLICT", `${blob.name} is changed all the time`);
  }

  /** The message, once no relay is at it. @returns undefined if it does not exist any more */
  async #settled(blob: Listed, tries = 1): Promise<Listed | "sending" | undefined> {
    const { state, due } = blob.entry;
    const now = this.#clock.date();
    if (state === "held" || state === "dead") return blob;
    if (state === "queued" && due > now + SKEW) return blob;
    if (state === "sending" && now - blob.modifiedAt < ABANDONED) return "sending";
    const changing = now;
    const marked = await this.#blobs.replace(blob.name, { ...blob.entry, changing }, blob.etag);
    if (marked === "missing") return undefined;
    if (typeof marked === "object") await this.#clock.sleep(SETTLE);
    const settled = await this.#look(blob.name);
    if (settled === undefined) return undefined;
    if (typeof marked === "object" && settled.etag === marked.etag) return settled;
    if (tries === MOST_TRIES) return "sending";
    // A relay has begun or ended an attempt meanwhile.
    return await this.#settled(settled, tries + 1);
  }

  /** Gives a message a new pointer, in the order that loses none if the command dies. */
  async #revive({ name, entry, etag }: Listed): Promise<"revived" | "changed" | "missing"> {
    const due = this.#clock.date();
    // Not just the next number: of a request without a response, a pointer may be left.
    const generation = Math.max(due, entry.generation + 1);
    const { id, receivedAt, mailbox, account, connection, attempts, code, note } = entry;
    const progress = { state: "queued" as const, due, attempts, code, note };
    const key = { id, receivedAt, mailbox, account, connection };
    const text = { ...key, ...progress, generation, received: 0 };
    const handle = await this.#pointers.add(text, UNFINISHED);
    const changed: BlobEntry = { ...entry, ...progress, generation, pause: 0, changing: 0 };
    const result = await this.#blobs.replace(name, changed, etag);
    if (typeof result !== "object") {
      await this.#pointers.delete(handle).catch(() => false);
      return result;
    }
    // The older pointers count no more from here on. The new one becomes visible by itself, too.
    await this.#pointers.update(handle, text, 0).catch(() => false);
    return "revived";
  }

  async *#listed(): AsyncGenerator<Listed> {
    for await (const page of this.#blobs.pages()) {
      for (const blob of page) {
        if (this.#names.size >= MAX_NAMES) this.#names.clear();
        this.#names.set(blob.entry.id, blob.name);
        yield blob;
      }
    }
  }

  async #blob(id: string): Promise<Listed | undefined> {
    const known = this.#names.get(id);
    if (known !== undefined) return await this.#look(known);
    for await (const blob of this.#listed()) {
      if (blob.entry.id === id) return blob;
    }
    return undefined;
  }

  async #look(name: string): Promise<Listed | undefined> {
    const version = await this.#blobs.look(name);
    return version === undefined ? undefined : { ...version, name };
  }

  async #stored({ name, entry }: Listed): Promise<StoredMessage | undefined> {
    const record: Uint8Array[] = [];
    try {
      for await (const octets of this.#blobs.octets(name, 0, entry.recordSize)) record.push(octets);
    } catch (error) {
      // Sent meanwhile.
      if (error instanceof StoreError && error.code === "BlobNotFound") return undefined;
      throw error;
    }
    const { state, due, attempts, code, note } = entry;
    return { ...factsOf(entry), state, due, attempts, code, note, record: Buffer.concat(record) };
  }

  async #after(limit: number, page: readonly Listed[]): Promise<readonly StoredMessage[]> {
    const { entry } = page.at(-1)!;
    return await this.list(limit, { ...entry, record: new Uint8Array() });
  }
}
