// Receives message content: by DATA up to its end, or by BDAT in chunks, never more than allowed.

import { type Content, ContentBuilder } from "./content.ts";
import { DataDecoder } from "./data.ts";
import type { Reply } from "./reply.ts";

/** One DATA content. What is too large is read to its end, but not kept. */
export class DataReceiver {
  readonly #limit: number;
  readonly #decoder = new DataDecoder(this);
  #builder: ContentBuilder | undefined = new ContentBuilder();
  #length = 0;

  /** @param limit octets */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns the index behind the end of data, or -1 when more is needed */
  push(bytes: Uint8Array): number {
    return this.#decoder.push(bytes);
  }

  append(bytes: Uint8Array): void {
    this.#length += bytes.length;
    if (this.#length > this.#limit) this.#builder = undefined;
    this.#builder?.append(bytes);
  }

  /** @returns undefined where the content was too large */
  finish(): Content | undefined {
    return this.#builder?.finish();
  }
}

/** The octets of one BDAT command (RFC 3030 §2): swallowed before any refusal of it. */
export class ChunkReceiver {
  readonly last: boolean;
  readonly refusal: Reply | undefined;
  readonly #builder: ContentBuilder | undefined;
  #left: number;

  constructor(octets: number, last: boolean, builder: ContentBuilder | Reply) {
    this.#left = octets;
    this.last = last;
    if (builder instanceof ContentBuilder) this.#builder = builder;
    else this.refusal = builder;
  }

  get complete(): boolean {
    return this.#left === 0;
  }

  /** @returns how many of the octets belong to the chunk */
  push(bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    this.#builder?.append(part);
    return part.length;
  }
}
