// Rows of the status page that are many, as octets. As objects, each with a dozen strings, they are made
// while mail passes, and so lie between the garbage of that mail: each keeps a block of the heap from
// being given back, which takes ten times the memory of the rows.

import { Buffer } from "node:buffer";

/** Octets of a row; a longer one is kept as text. */
const ROW = 768;
/** Rows in one piece of memory. */
const ROWS = 64;

/** A value whose undefined properties are left out, as in JSON. */
type Given<V> = { readonly [Name in keyof V]: V[Name] | undefined } & { readonly id: string };

/** Values of plain JSON, in the order of their arrival, each with the version of its last change. */
export class PackedRows<V extends { readonly id: string }> {
  readonly #max: number;
  /** By place. The places are a ring. */
  readonly #versions: Float64Array;
  readonly #hashes: Uint32Array;
  readonly #lengths: Uint16Array;
  /** Made when they are needed. */
  readonly #pieces: Buffer[] = [];
  readonly #long = new Map<number, string>();
  /** The place of the next row. */
  #next = 0;
  #size = 0;

  /** @param max rows; the oldest is forgotten */
  constructor(max: number) {
    this.#max = max;
    this.#versions = new Float64Array(max);
    this.#hashes = new Uint32Array(max);
    this.#lengths = new Uint16Array(max);
  }

  get(id: string): V | undefined {
    return this.#find(id)?.value;
  }

  /** Adds a row that is not there yet. */
  add(value: Given<V>, version: number): void {
    if (this.#max === 0) return;
    this.#write(this.#next, value, version);
    this.#next = (this.#next + 1) % this.#max;
    this.#size = Math.min(this.#size + 1, this.#max);
  }

  /** Changes a row in its place, or adds one. */
  put(value: Given<V>, version: number): void {
    const found = this.#find(value.id);
    if (found === undefined) this.add(value, version);
    else this.#write(found.place, value, version);
  }

  /** Rows that have changed after that version, the oldest first; all for 0. */
  since(version: number): V[] {
    return this.textsSince(version).map((text) => JSON.parse(text));
  }

  /** The same rows, each as JSON. */
  textsSince(version: number): string[] {
    const found: string[] = [];
    for (let i = this.#size; i > 0; i--) {
      const place = (this.#next - i + this.#max) % this.#max;
      if (this.#versions[place]! > version) found.push(this.#text(place));
    }
    return found;
  }

  #find(id: string): { readonly place: number; readonly value: V } | undefined {
    const hash = hashOf(id);
    let place = -1;
    while ((place = this.#hashes.indexOf(hash, place + 1)) >= 0 && place < this.#size) {
      const value: V = JSON.parse(this.#text(place));
      if (value.id === id) return { place, value };
    }
    return undefined;
  }

  #text(place: number): string {
    const long = this.#long.get(place);
    if (long !== undefined) return long;
    const { piece, start } = this.#memory(place);
    return piece.toString("utf8", start, start + this.#lengths[place]!);
  }

  #write(place: number, value: Given<V>, version: number): void {
    const text = JSON.stringify(value);
    this.#versions[place] = version;
    this.#hashes[place] = hashOf(value.id);
    if (Buffer.byteLength(text) > ROW) {
      this.#long.set(place, text);
      return;
    }
    this.#long.delete(place);
    const { piece, start } = this.#memory(place);
    this.#lengths[place] = piece.write(text, start, "utf8");
  }

  #memory(place: number): { readonly piece: Buffer; readonly start: number } {
    const piece = this.#pieces[Math.floor(place / ROWS)] ??= Buffer.allocUnsafeSlow(ROWS * ROW);
    return { piece, start: (place % ROWS) * ROW };
  }
}

function hashOf(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash, 31) + text.charCodeAt(i) | 0;
  return hash >>> 0;
}
