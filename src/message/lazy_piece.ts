// Octets of a message that are made when they are read. So a changed message, such as one whose
// attachment becomes base64, is not held a second time: only the received octets are, and how to
// make the new ones.

export interface LazyPieceOptions {
  /** Octets; at least one. */
  readonly length: number;
  /** Writes them to the beginning of an array that has room for them. */
  readonly write: (out: Uint8Array) => void;
  /** Whether it is whole lines of base64; the last one of a message may lack its CRLF. */
  readonly base64?: boolean;
  /** The content that the base64 encodes, if available. */
  readonly decoded?: LazyContent;
}

export class LazyPiece {
  readonly length: number;
  readonly base64: boolean;
  readonly decoded: LazyContent | undefined;
  readonly write: (out: Uint8Array) => void;
  /** The piece that it is a part of, and its offset there. */
  readonly within: { readonly piece: LazyPiece; readonly start: number } | undefined;

  constructor({ length, write, base64 = false, decoded }: LazyPieceOptions, within?: {
    readonly piece: LazyPiece;
    readonly start: number;
  }) {
    this.length = length;
    this.base64 = base64;
    this.decoded = decoded;
    this.write = write;
    this.within = within;
  }

  subarray(start = 0, end = this.length): LazyPiece {
    const length = end - start;
    if (length === this.length) return this;
    if (this.within !== undefined) {
      const { piece, start: before } = this.within;
      return piece.subarray(before + start, before + end);
    }
    const write = (out: Uint8Array) => out.set(octetsOf(this).subarray(start, end));
    return new LazyPiece({ length, write, base64: this.base64 }, { piece: this, start });
  }
}

export type Piece = Uint8Array | LazyPiece;

/** A message in non-empty pieces, some of them lazy. Every `Content` is one. */
export type LazyContent = readonly Piece[];

/** Reads pieces one by one, and makes lazy ones in the same memory each time. */
export class PieceReader {
  #memory = NOTHING;
  /** The piece that the memory holds. */
  #piece: LazyPiece | undefined;

  /** The octets, which are valid until the next piece is read. */
  read(piece: Piece): Uint8Array {
    if (!(piece instanceof LazyPiece)) return piece;
    const { piece: whole, start } = piece.within ?? { piece, start: 0 };
    if (this.#piece !== whole) {
      // If writing fails midway, the memory does not hold the piece.
      this.#piece = undefined;
      if (this.#memory.length < whole.length) this.#memory = new Uint8Array(whole.length);
      whole.write(this.#memory);
      this.#piece = whole;
    }
    return this.#memory.subarray(start, start + piece.length);
  }
}

const NOTHING = new Uint8Array(0);

/** The octets of a piece; they stay valid. */
export function octetsOf(piece: Piece): Uint8Array {
  if (!(piece instanceof LazyPiece)) return piece;
  const octets = new Uint8Array(piece.length);
  piece.write(octets);
  return octets;
}

/**
 * The octets of all pieces in order, made one by one.
 *
 * @param scratch reuse the same memory for all: each is valid until the next
 */
export function* octetsIn(content: LazyContent, scratch = false): Generator<Uint8Array> {
  let reader: PieceReader | undefined;
  for (const piece of content) {
    if (!scratch || !(piece instanceof LazyPiece)) {
      yield octetsOf(piece);
      continue;
    }
    if (reader === undefined) {
      reader = spare ?? new PieceReader();
      spare = undefined;
    }
    yield reader.read(piece);
  }
  spare = reader ?? spare;
}

/** Reused, because most contents are read one after the other. */
let spare: PieceReader | undefined;

/** Octets. */
export function lengthOf(content: LazyContent): number {
  let length = 0;
  for (const piece of content) length += piece.length;
  return length;
}
