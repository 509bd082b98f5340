/**
 * The sandbox's inbox: the messages that the imitated Graph accepted, in memory only, newest first.
 * Bounded in number and octets: the oldest are dropped for new ones.
 */
import type { Trace } from "../trace/trace.ts";
import { countAttachments } from "./attachment_count.ts";
import {
  type MessageContent,
  readContent,
  readSummary,
  type SummaryFields,
} from "./message_content.ts";

/** A message as the list shows it, with the fields of `GET /api/messages`. */
export interface MessageSummary extends SummaryFields {
  /** Short, URL-safe, unique in this inbox. */
  id: string;
  /** Octets of the raw message and of its uploaded attachments. */
  size: number;
  /** Files in the message and uploaded ones. */
  attachmentCount: number;
  /** ISO 8601, UTC. */
  receivedAt: string;
}

/** A file that was attached to a message separately from its MIME content. */
export interface UploadedFile {
  readonly name: string;
  readonly contentType: string;
  readonly inline: boolean;
  readonly contentId?: string;
  /** Octets. */
  readonly size: number;
  /** Of the content, hexadecimal. */
  readonly sha256: string;
  /** The content in the pieces in which it arrived. */
  readonly chunks: readonly Uint8Array<ArrayBuffer>[];
}

/** A message to add to the inbox. */
export interface IncomingMessage {
  readonly mailbox: string;
  readonly raw: Uint8Array;
  /** Its recipients, as the imitated Graph reads the header. */
  readonly recipients?: readonly string[];
  readonly uploads?: readonly UploadedFile[];
  /** Its trace, if there is one. */
  readonly trace?: Trace | undefined;
}

/** A message in the inbox. */
export interface StoredMessage {
  readonly summary: MessageSummary;
  /** The mailbox that Graph was told to send from. */
  readonly mailbox: string;
  /** The octets that Graph received. */
  readonly raw: Uint8Array<ArrayBuffer>;
  /** Its recipients, each address once. */
  readonly recipients: readonly string[];
  /** Files that were attached to the draft; the raw message does not contain them. */
  readonly uploads: readonly UploadedFile[];
  readonly trace: Trace | undefined;
}

/**
 * An event for subscribers. `dropped`: the oldest message was dropped to make room; `deleted`: a user
 * deleted one.
 */
export type InboxEvent =
  | { type: "message"; summary: MessageSummary }
  | { type: "dropped" | "deleted"; id: string }
  | { type: "cleared" };

export interface InboxLimits {
  /** Messages; 500 when left out. */
  maxMessages?: number;
  /** Octets of all messages together, including uploads; 512 MiB when left out. */
  maxBytes?: number;
}

/**
 * @example
 * const inbox = new Inbox();
 * const stop = inbox.subscribe((event) => console.log(event.type));
 * const { summary } = await inbox.add({ mailbox: "printer@example.com", raw });
 */
export class Inbox {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  /** In the order of arrival, which a Map keeps: the first is the oldest. */
  readonly #messages = new Map<string, StoredMessage>();
  readonly #listeners = new Set<(event: InboxEvent) => void>();
  #bytes = 0;
  /** Settled when the latest `add` is done, so that messages are listed in the order they were added. */
  #lastAdd: Promise<unknown> = Promise.resolve();
  /** The content of the message read last: the page requests the message, its HTML and its images. */
  #open: { id: string; content: Promise<MessageContent> } | undefined;

  constructor(limits: InboxLimits = {}) {
    this.#maxMessages = limits.maxMessages ?? 500;
    this.#maxBytes = limits.maxBytes ?? 512 * 1024 * 1024;
  }

  /**
   * Keeps a copy of the message (uploads are not copied) and notifies the subscribers. Accepts any
   * octets, even if they are not a message.
   *
   * @throws RangeError (as a rejection) if the message alone is larger than the whole inbox.
   */
  add(incoming: IncomingMessage): Promise<StoredMessage> {
    const { mailbox, raw, recipients = [], uploads = [], trace } = incoming;
    const size = uploads.reduce((sum, file) => sum + file.size, raw.length);
    if (size > this.#maxBytes) {
      const problem = `message of ${size} bytes, inbox of ${this.#maxBytes}`;
      return Promise.reject(new RangeError(problem));
    }
    const receivedAt = new Date().toISOString();
    // A copy, because a view would keep its whole buffer in memory, beyond the bound.
    const copy = new Uint8Array(raw);
    const added = this.#lastAdd.then(async () => {
      const fields = await readSummary(copy);
      const attachmentCount = uploads.filter(({ inline }) => !inline).length +
        countAttachments(copy);
      const summary = { id: this.#newId(), ...fields, size, attachmentCount, receivedAt };
      const message: StoredMessage = { summary, mailbox, raw: copy, recipients, uploads, trace };
      this.#keep(message);
      return message;
    });
    this.#lastAdd = added.catch(() => {});
    return added;
  }

  /** Summaries, newest first. */
  list(): MessageSummary[] {
    return [...this.#messages.values()].reverse().map((message) => message.summary);
  }

  get(id: string): StoredMessage | undefined {
    return this.#messages.get(id);
  }

  /** The parts of a message, or undefined if there is no such message. */
  content(id: string): Promise<MessageContent | undefined> {
    const message = this.#messages.get(id);
    if (message === undefined) return Promise.resolve(undefined);
    if (this.#open?.id !== id) this.#open = { id, content: contentOf(message) };
    return this.#open.content;
  }

  /** @returns whether there was such a message */
  delete(id: string): boolean {
    if (!this.#forget(id)) return false;
    this.#tell({ type: "deleted", id });
    return true;
  }

  clear(): void {
    this.#messages.clear();
    this.#bytes = 0;
    this.#open = undefined;
    this.#tell({ type: "cleared" });
  }

  /** Calls `listener` for each event from now on, until the returned function is called. */
  subscribe(listener: (event: InboxEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #keep(message: StoredMessage): void {
    this.#messages.set(message.summary.id, message);
    this.#bytes += message.summary.size;
    this.#tell({ type: "message", summary: message.summary });
    for (const [id] of this.#messages) {
      if (this.#messages.size <= this.#maxMessages && this.#bytes <= this.#maxBytes) break;
      this.#forget(id);
      this.#tell({ type: "dropped", id });
    }
  }

  #forget(id: string): boolean {
    const message = this.#messages.get(id);
    if (message === undefined) return false;
    this.#messages.delete(id);
    this.#bytes -= message.summary.size;
    if (this.#open?.id === id) this.#open = undefined;
    return true;
  }

  #tell(event: InboxEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch {
        // A subscriber that throws is removed: the message has been added, and Graph's response to the
        // relay must not depend on subscribers.
        this.#listeners.delete(listener);
      }
    }
  }

  /** Ten characters of 32: none that is special in a URL, a shell or a double click. */
  #newId(): string {
    for (;;) {
      const random = crypto.getRandomValues(new Uint8Array(10));
      const id = Array.from(random, (byte) => "abcdefghijkmnpqrstuvwxyz23456789"[byte & 31]).join(
        "",
      );
      if (!this.#messages.has(id)) return id;
    }
  }
}

/** The parts of the raw message, followed by the uploaded files. */
async function contentOf({ raw, uploads }: StoredMessage): Promise<MessageContent> {
  const content = await readContent(raw);
  const first = content.attachments.length;
  const uploaded = uploads.map((
    { name, contentType, inline, contentId, size, sha256, chunks },
    at,
  ) => ({
    index: first + at,
    filename: name,
    contentType,
    disposition: inline ? "inline" : "attachment",
    ...(contentId && { contentId }),
    size,
    sha256,
    uploaded: true,
    chunks,
  }));
  return { ...content, attachments: [...content.attachments, ...uploaded] };
}
