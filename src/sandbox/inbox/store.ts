/**
 * The sandbox's inbox: what the imitated Graph was told to send, in memory only, newest first.
 * Bounded in number and in octets; the oldest make room for the new.
 */
import type { Trace } from "../trace/trace.ts";
import { countAttachments } from "./attachment_count.ts";
import {
  type MessageContent,
  readContent,
  readSummary,
  type SummaryFields,
} from "./message_content.ts";

/** A message as the list shows it, in exactly the words of `GET /api/messages`. */
export interface MessageSummary extends SummaryFields {
  /** Short, URL-safe, unique in this inbox. */
  id: string;
  /** Octets of the raw message and of what was attached to it by upload. */
  size: number;
  /** Files in the message and beside it. */
  attachmentCount: number;
  /** ISO 8601, UTC. */
  receivedAt: string;
}

/** A file that was attached to a message beside its MIME content. */
export interface UploadedFile {
  readonly name: string;
  readonly contentType: string;
  readonly inline: boolean;
  readonly contentId?: string;
  /** Octets. */
  readonly size: number;
  /** Of the content, hexadecimal. */
  readonly sha256: string;
  /** The content as it came, piece by piece. */
  readonly chunks: readonly Uint8Array<ArrayBuffer>[];
}

/** What the inbox is given. */
export interface IncomingMessage {
  readonly mailbox: string;
  readonly raw: Uint8Array;
  /** Who receives it, as the imitated Graph reads the header. */
  readonly recipients?: readonly string[];
  readonly uploads?: readonly UploadedFile[];
  /** The way that it has come, where that was seen. */
  readonly trace?: Trace | undefined;
}

/** A message in the inbox. */
export interface StoredMessage {
  readonly summary: MessageSummary;
  /** Whose mailbox Graph was told to send from. */
  readonly mailbox: string;
  /** The bytes that Graph was given. */
  readonly raw: Uint8Array<ArrayBuffer>;
  /** Who receives it: each address once. */
  readonly recipients: readonly string[];
  /** What was attached to the draft; the raw message does not have it. */
  readonly uploads: readonly UploadedFile[];
  readonly trace: Trace | undefined;
}

/**
 * What a subscriber is told. `dropped` is the oldest one, which had to make room; `deleted` one that a
 * user has taken out.
 */
export type InboxEvent =
  | { type: "message"; summary: MessageSummary }
  | { type: "dropped" | "deleted"; id: string }
  | { type: "cleared" };

export interface InboxLimits {
  /** Messages; 500 unless told otherwise. */
  maxMessages?: number;
  /** Octets of all messages together, uploads included; 512 MiB unless told otherwise. */
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
  /** In the order of arrival: a Map keeps it, and its first is the oldest. */
  readonly #messages = new Map<string, StoredMessage>();
  readonly #listeners = new Set<(event: InboxEvent) => void>();
  #bytes = 0;
  /** Settled when the latest add is in, so that messages are listed in the order of their adds. */
  #lastAdd: Promise<unknown> = Promise.resolve();
  /** The latest message read: the page asks for the message, its HTML and each of its images. */
  #open: { id: string; content: Promise<MessageContent> } | undefined;

  constructor(limits: InboxLimits = {}) {
    this.#maxMessages = limits.maxMessages ?? 500;
    this.#maxBytes = limits.maxBytes ?? 512 * 1024 * 1024;
  }

  /**
   * Keeps a copy of the message (of uploads not even that) and tells the subscribers. Takes
   * anything, also what is no message at all.
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
    // A copy, because a view would keep its whole buffer in memory, past the bound.
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
        // A subscriber that fails is let go: the message is in all the same, and Graph's response
        // to the relay must not depend on who is looking.
        this.#listeners.delete(listener);
      }
    }
  }

  /** Ten characters of 32: no sign that a URL, a shell or a double click would stumble over. */
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

/** The parts of the raw message, and behind them what was uploaded. */
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
