// The drafts of the imitated mailboxes, their attachments, and the upload sessions that are open.
// In memory, bounded in number and octets: the oldest drafts make room for the new.

import { createHash, type Hash, randomBytes } from "node:crypto";
import type { UploadedFile } from "../inbox/store.ts";

/** What is said of a file before its content. */
export interface FileDescription {
  readonly name: string;
  readonly contentType: string;
  readonly inline: boolean;
  readonly contentId?: string;
}

export interface Draft {
  readonly id: string;
  readonly mailbox: string;
  readonly raw: Uint8Array;
  readonly files: (UploadedFile & { readonly id: string })[];
  readonly uploads: Set<Upload>;
}

/** An upload session. */
export interface Upload {
  readonly id: string;
  /** What makes the session's URL a secret. */
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
  /** Drafts; 1000 unless told otherwise. */
  readonly maxDrafts?: number;
  /** Octets of all drafts, attachments and unfinished uploads; 1 GiB unless told otherwise. */
  readonly maxDraftBytes?: number;
}

export class Drafts {
  readonly #maxDrafts: number;
  readonly #maxBytes: number;
  /** In the order of their making: the first is the oldest. */
  readonly #drafts = new Map<string, Draft>();
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
    const draft: Draft = { id: newId(60), mailbox, raw, files: [], uploads: new Set() };
    this.#drafts.set(draft.id, draft);
    this.#grow(draft, raw.length);
    return draft;
  }

  /** The draft, if the mailbox has it. */
  find(mailbox: string, id: string): Draft | undefined {
    const draft = this.#drafts.get(id);
    return draft?.mailbox.toLowerCase() === mailbox.toLowerCase() ? draft : undefined;
  }

  delete(draft: Draft): void {
    if (!this.#drafts.delete(draft.id)) return;
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

  /** The session, as long as it has not come to its end. */
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

  /** Takes the next octets of a file; gives the attachment's id once it is whole. */
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

/** Like Exchange's: long, base64url, and with a `=` at the end that a URL has to carry. */
function newId(octets: number): string {
  return `AAMk${randomBytes(octets).toString("base64url")}AAA=`;
}
