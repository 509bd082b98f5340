// The content of a message on its way to the server: in pieces that are worth a write each, and for DATA
// with dot-stuffing and the end of data (RFC 5321 §4.5.2).

import { Buffer } from "node:buffer";
import { StrayScan } from "../message/scan.ts";
import { asBuffer, CR, CRLF, DOT, LF } from "../octets.ts";

/** Octets of a piece at most. */
const PIECE = 64 * 1024;
/** Octets that are looked at together: stuffed, each could become two. */
const CHUNK = PIECE / 2;
/** Octets from which a piece is handed out without copying it. */
const WORTH_A_WRITE = 8 * 1024;
/** Room for the command before the content, and what comes after it. */
const EXTRA = 64;
const END = Buffer.from(".\r\n");
const CRLF_DOT = Buffer.from("\r\n.");

export interface StreamOptions {
  /** Octets of the content. */
  readonly size: number;
  /** For DATA; otherwise it is for BDAT. */
  readonly stuffed: boolean;
  /** ASCII text that is sent before it. */
  readonly head?: string | undefined;
}

export class ContentStream {
  readonly #options: StreamOptions;
  readonly #pieces: Generator<Uint8Array, void>;
  readonly #scan = new StrayScan();
  #read = 0;
  #stray = false;
  #isLast = false;

  constructor(content: Iterable<Uint8Array>, options: StreamOptions) {
    this.#options = options;
    this.#pieces = this.#gather(content);
  }

  /** Octets of the content that have been read. */
  get read(): number {
    return this.#read;
  }

  /** Whether the piece handed out last ends the message. */
  get isLast(): boolean {
    return this.#isLast;
  }

  /** Whether there are no more pieces because a CR or LF belongs to no line end. */
  get stray(): boolean {
    return this.#stray;
  }

  /**
   * @returns the next octets, valid until the next call; undefined after the last
   * @throws what the content throws, and RangeError if it has another size
   */
  next(): Uint8Array | undefined {
    const { done, value } = this.#pieces.next();
    return done === true ? undefined : value;
  }

  *#gather(content: Iterable<Uint8Array>): Generator<Uint8Array, void> {
    const { size, stuffed, head = "" } = this.#options;
    const block = Buffer.allocUnsafeSlow(Math.min(PIECE, (stuffed ? 2 : 1) * size) + EXTRA);
    const stuffing = new Stuffing();
    let used = block.write(head, 0, "latin1");
    for (const chunk of this.#chunks(content)) {
      const direct = chunk.length >= WORTH_A_WRITE && !(stuffed && stuffing.finds(chunk));
      const most = stuffed && !direct ? 2 * chunk.length : chunk.length;
      if (used > 0 && (direct || used + most > block.length)) {
        yield block.subarray(0, used);
        used = 0;
      }
      if (direct) {
        stuffing.pass(chunk);
        this.#isLast = !stuffed && this.#read === size;
        yield chunk;
      } else if (stuffed) used = stuffing.stuff(chunk, block, used);
      else used += chunk.copy(block, used);
    }
    if (this.#stray) return;
    if (stuffed) {
      const end = stuffing.atLineStart ? END : Buffer.concat([CRLF, END]);
      if (used + end.length > block.length) {
        yield block.subarray(0, used);
        used = 0;
      }
      used += end.copy(block, used);
    }
    if (this.#isLast) return;
    this.#isLast = true;
    yield block.subarray(0, used);
  }

  /** Stops at a stray line end, before its octets. */
  *#chunks(content: Iterable<Uint8Array>): Generator<Buffer, void> {
    const { size } = this.#options;
    for (const piece of content) {
      if (this.#read + piece.length > size) throw new RangeError("the content is longer than said");
      for (let at = 0; at < piece.length; at += CHUNK) {
        const chunk = asBuffer(piece.subarray(at, at + CHUNK));
        const atEnd = this.#read + chunk.length === size;
        this.#stray = this.#scan.found(chunk) || atEnd && this.#scan.endsInCr;
        if (this.#stray) return;
        this.#read += chunk.length;
        yield chunk;
      }
    }
    if (this.#read < size) throw new RangeError("the content is shorter than said");
  }
}

/** Doubles the dot at the beginning of a line. */
class Stuffing {
  /** How much of a line end has come: 2 octets at the beginning of a line. */
  #seen = 2;

  get atLineStart(): boolean {
    return this.#seen === 2;
  }

  /** Whether these octets have a dot to be doubled. */
  finds(octets: Buffer): boolean {
    const dot = 2 - this.#seen;
    const begun = octets[dot] === DOT && (this.#seen !== 1 || octets[0] === LF);
    return this.#seen > 0 && begun || octets.includes(CRLF_DOT);
  }

  /** Takes octets that have none. */
  pass(octets: Buffer): void {
    if (octets.length > 1) {
      const isEnd = octets.at(-1) === LF && octets.at(-2) === CR;
      this.#seen = isEnd ? 2 : octets.at(-1) === CR ? 1 : 0;
    } else for (const octet of octets) this.#take(octet);
  }

  /** @returns where the octets end that were written */
  stuff(octets: Buffer, out: Buffer, at: number): number {
    if (!this.finds(octets)) {
      this.pass(octets);
      return at + octets.copy(out, at);
    }
    let end = at;
    for (let i = 0; i < octets.length; i++) {
      const octet = octets[i]!;
      if (octet === DOT && this.#seen === 2) out[end++] = DOT;
      out[end++] = octet;
      this.#take(octet);
    }
    return end;
  }

  #take(octet: number): void {
    if (octet === CR) this.#seen = 1;
    else this.#seen = octet === LF && this.#seen === 1 ? 2 : 0;
  }
}
