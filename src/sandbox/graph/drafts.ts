// The drafts of the imitated mailboxes, their attachments, and the open upload sessions. In memory,
// bounded in number and octets: the oldest drafts are dropped for new ones.

import { createHash, type Hash, randomBytes } from "node:crypto";
import type { UploadedFile } from "../inbox/store.ts";

/** A file's properties, which are known before its content. */
export interface FileDescription {
  readonly name: string;
  readonly contentType: string;
  readonly inline: boolean;
  readonly contentId?: string;
}

export interface Draft {
  /** Names it until it is sent. */
  readonly id: string;
  /** Names its copy in Sent Items too. */
  readonly immutableId: string;
  readonly mailbox: string;
  readonly raw: Uint8Array;
  readonly createdAt: Date;
  readonly files: (UploadedFile & { readonly id: string })[];
  readonly uploads: Set<Upload>;
}

/** An upload session. */
export interface Upload {
  readonly id: string;
  /** The secret part of the session's URL. */
  readonly token: string;
  readonly draft: Draft;
  /** The app that opened it. */
  readonly client: string;
  readonly description: FileDescription;
  /** Octets of the whole file. */
  readonly size: number;
  /** Unix time, milliseconds. */
  readonly expiresAt: number;
  readonly chunks: Uint8Array<ArrayBuffer>[];
  readonly hash: Hash;
  received: number;
}

export interface DraftLimits {
  /** Drafts; 1000 when left out. */
  readonly maxDrafts?: number;
  /** Octets of all drafts, attachments and unfinished uploads; 1 GiB when left out. */
  readonly maxDraftBytes?: number;
}

export class Drafts {
  readonly #maxDrafts: number;
  readonly #maxBytes: number;
  /** In the order of creation: the first is the oldest. */
  readonly #drafts = new Map<string, Draft>();
  readonly #byImmutableId = new Map<string, Draft>();
  readonly #uploads = new Map<string, Upload>();
  #bytes = 0;

  constructor({ maxDrafts = 1000, maxDraftBytes = 1024 ** 3 }: DraftLimits = {}) {
    this.#maxDrafts = maxDrafts;
    this.#maxBytes = maxDraftBytes;
  }

  get size(): number {
    return this.#drafts.size;
  }

  add(mailbox: string, raw: Uint8Array): Draft {
    const draft: Draft = {
      id: newId(60),
      immutableId: newImmutableId(),
      mailbox,
      raw,
      createdAt: new Date(),
      files: [],
      uploads: new Set(),
    };
    this.#drafts.set(draft.id, draft);
    this.#byImmutableId.set(draft.immutableId, draft);
    this.#grow(draft, raw.length);
    return draft;
  }

  /** The draft with this id of either kind, if the mailbox has it. */
  find(mailbox: string, id: string): Draft | undefined {
    const draft = this.#drafts.get(id) ?? this.#byImmutableId.get(id);
    return draft?.mailbox.toLowerCase() === mailbox.toLowerCase() ? draft : undefined;
  }

  /** All drafts of a mailbox. */
  list(mailbox: string): Draft[] {
    const wanted = mailbox.toLowerCase();
    return [...this.#drafts.values()].filter((draft) => draft.mailbox.toLowerCase() === wanted);
  }

  delete(draft: Draft): void {
    if (!this.#drafts.delete(draft.id)) return;
    this.#byImmutableId.delete(draft.immutableId);
    this.#bytes -= sizeOf(draft);
    for (const upload of draft.uploads) {
      this.#bytes -= upload.received;
      this.#uploads.delete(upload.id);
    }
  }

  attach(draft: Draft, description: FileDescription, content: Uint8Array<ArrayBuffer>): string {
    const sha256 = createHash("sha256").update(content).digest("hex");
    const id = newId(70);
    draft.files.push({ ...description, id, size: content.length, sha256, chunks: [content] });
    this.#grow(draft, content.length);
    return id;
  }

  /** @param lifetime milliseconds */
  openUpload(
    draft: Draft,
    client: string,
    description: FileDescription,
    size: number,
    lifetime: number,
  ): Upload {
    const upload: Upload = {
      id: newId(30),
      token: randomBytes(24).toString("base64url"),
      draft,
      client,
      description,
      size,
      expiresAt: Date.now() + lifetime,
      chunks: [],
      hash: createHash("sha256"),
      received: 0,
    };
    draft.uploads.add(upload);
    this.#uploads.set(upload.id, upload);
    return upload;
  }

  /** The session, until it has ended. */
  findUpload(id: string, token: string | undefined): Upload | undefined {
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.token !== token) return undefined;
    if (upload.expiresAt > Date.now()) return upload;
    this.cancelUpload(upload);
    return undefined;
  }

  cancelUpload(upload: Upload): void {
    if (!this.#uploads.delete(upload.id)) return;
    upload.draft.uploads.delete(upload);
    this.#bytes -= upload.received;
  }

  /** Adds the next octets of a file; returns the attachment's id when it is complete. */
  append(upload: Upload, chunk: Uint8Array<ArrayBuffer>): string | undefined {
    upload.chunks.push(chunk);
    upload.hash.update(chunk);
    upload.received += chunk.length;
    this.#grow(upload.draft, chunk.length);
    if (upload.received < upload.size) return undefined;
    const { draft, description, size, chunks, hash } = upload;
    const id = newId(70);
    draft.files.push({ ...description, id, size, sha256: hash.digest("hex"), chunks });
    draft.uploads.delete(upload);
    this.#uploads.delete(upload.id);
    return id;
  }

  #grow(grown: Draft, octets: number): void {
    if (this.#drafts.has(grown.id)) this.#bytes += octets;
    for (const draft of this.#drafts.values()) {
      if (this.#drafts.size <= this.#maxDrafts && this.#bytes <= this.#maxBytes) break;
      if (draft !== grown) this.delete(draft);
    }
  }
}

/** Octets of a draft and of what is attached to it. */
export function sizeOf({ raw, files }: Draft): number {
  return files.reduce((sum, { size }) => sum + size, raw.length);
}

/** Like Exchange's, which are of another form than its usual ids. */
export function newImmutableId(): string {
  return `AAkA${randomBytes(60).toString("base64url")}AAA=`;
}

/** Like Exchange's: long, base64url, and with a `=` at the end that a URL must escape. */
export function newId(octets: number): string {
  return `AAMk${randomBytes(octets).toString("base64url")}AAA=`;
}
