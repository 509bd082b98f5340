// Goes through the list of the blobs from time to time: counts them, and sets those aside whose pointer is
// lost. The first time, it learns which mailboxes are paused.
//
// No blob is ever deleted here. A relay that dies leaves no blob without a pointer (see azure_store.ts), so
// one that has none was accepted with a 250, and its pointer was deleted by someone, such as by clearing
// the queue. It becomes `dead` with the code ORPHAN, for an administrator to retry or to delete. Should the
// pointer turn up after all, the message is delivered as if nothing had been.

import type { Clock } from "../../clock.ts";
import { type Counts, Tally } from "./counts.ts";
import type { BlobVersion } from "./message_blob.ts";
import type { Mailboxes } from "./mailboxes.ts";
import type { MessageBlobs } from "./message_blobs.ts";
import { ORPHAN } from "./verdict.ts";

/** Milliseconds between two inspections, for each page of the list; at least one of these and at most ten. */
const PAUSE = 60_000;
const MOST_PAUSES = 10;
/**
 * Milliseconds that the start waits for the first inspection. After an outage the list may be so long that a
 * service manager would give the start up; until the end of the list only this relay's own messages count.
 */
const LONGEST_START = 10_000;
/**
 * Milliseconds that this relay has received pointers before it believes that one is lost: after an outage of
 * all relays, old messages wait for their turn.
 */
const FAMILIAR = 3_600_000;

export interface InspectionOptions {
  /** Milliseconds after its last change and after it was due, from which on a message's pointer is lost. */
  readonly orphanAge: number;
  /** Whether this relay found no pointer when it asked last. */
  isIdle(): boolean;
}

export class BlobInspection {
  readonly #blobs: MessageBlobs;
  readonly #counts: Counts;
  readonly #mailboxes: Mailboxes;
  readonly #clock: Clock;
  readonly #options: InspectionOptions;
  #opened = 0;
  #closed = false;
  #cancel: (() => void) | undefined;

  constructor(
    blobs: MessageBlobs,
    counts: Counts,
    mailboxes: Mailboxes,
    clock: Clock,
    options: InspectionOptions,
  ) {
    this.#blobs = blobs;
    this.#counts = counts;
    this.#mailboxes = mailboxes;
    this.#clock = clock;
    this.#options = options;
  }

  /** @throws StoreError */
  async open(): Promise<void> {
    this.#opened = this.#clock.now();
    const first = this.#inspect(true);
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const cancel = this.#clock.alarm(LONGEST_START, () => resolve("late"));
    try {
      const pages = await Promise.race([first, late]);
      if (pages === "late") first.then((pages) => this.#later(pages), () => this.#later(1));
      else this.#later(pages);
    } finally {
      cancel();
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  #later(pages: number): void {
    if (this.#closed) return;
    // Not all relays at the same time.
    const pause = PAUSE * Math.min(Math.max(pages, 1), MOST_PAUSES) *
      (0.9 + this.#clock.random() / 5);
    this.#cancel = this.#clock.alarm(pause, () => {
      this.#inspect().catch(() => MOST_PAUSES).then((pages) => this.#later(pages));
    });
  }

  /** @returns the number of pages */
  async #inspect(isFirst = false): Promise<number> {
    const tally = new Tally();
    let pages = 0;
    for await (const page of this.#blobs.pages()) {
      pages++;
      for (const blob of page) {
        // Those before a restart. Later ones may be over already.
        if (isFirst) this.#mailboxes.pause(blob.entry.mailbox, blob.entry.pause);
        tally.add(this.#isLost(blob) ? await this.#setAside(blob) : blob);
      }
      if (this.#closed) return pages;
    }
    this.#counts.replace(tally);
    return pages;
  }

  #isLost({ entry, modifiedAt }: BlobVersion): boolean {
    if (entry.state !== "queued" && entry.state !== "sending") return false;
    if (!this.#options.isIdle() || this.#clock.now() - this.#opened < FAMILIAR) return false;
    return Math.max(entry.due, modifiedAt) + this.#options.orphanAge < this.#clock.date();
  }

  async #setAside(blob: BlobVersion & { readonly name: string }): Promise<BlobVersion> {
    const entry = {
      ...blob.entry,
      state: "dead" as const,
      due: this.#clock.date(),
      code: ORPHAN,
    };
    const result = await this.#blobs.replace(blob.name, entry, blob.etag);
    // Changed meanwhile: so it is not lost.
    return typeof result === "object" ? { ...blob, entry } : blob;
  }
}
