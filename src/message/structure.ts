// Counts a message's parts and nesting depth in one pass over its octets, for MAX_MIME_DEPTH and
// MAX_MIME_PARTS.
//
// It counts everything that a later reader may see, not only what the relay changes: attached
// messages, parts after a multipart's end, and what mime.ts calls opaque.

import { CR, HYPHEN, LF, SPACE, TAB } from "../octets.ts";
import type { Content } from "../smtp/content.ts";
import { boundariesOf } from "./boundary.ts";
import { ContentView } from "./content_view.ts";
import { parseParameterized } from "./parameters.ts";

export interface StructureLimits {
  /** Multiparts and attached messages around the most deeply nested part. */
  readonly depth: number;
  /** Parts of all multiparts together, including those in attached messages. */
  readonly parts: number;
}

/** The limit that a message exceeds; undefined if it exceeds neither. */
export function structureExcess(
  content: Content,
  limits: StructureLimits,
): keyof StructureLimits | undefined {
  return new Scan(content, limits).run();
}

/** A multipart with its boundary (or boundaries, if several are given), or a message. */
interface Frame {
  readonly boundaries: readonly string[];
  /** Whether a part without a type is a message (RFC 2046 §5.1.5). */
  readonly digest: boolean;
}

interface Delimiter {
  /** Index of the multipart in the frames. */
  readonly frame: number;
  readonly closes: boolean;
  /** Position after the line. */
  readonly end: number;
}

/** Octets of a delimiter line that are read; a valid boundary has 70 at most (RFC 2046 §5.1.1). */
const MAX_DELIMITER = 1000;
/** Octets of one Content-Type field, and such fields of one part, that are read. */
const MAX_TYPE = 64 * 1024;
const MAX_TYPES = 10;

class Scan {
  readonly #octets: ContentView;
  readonly #limits: StructureLimits;
  readonly #frames: Frame[] = [];
  /** The frame of each boundary; the outer one if two have the same. */
  readonly #byBoundary = new Map<string, number>();
  /** How many boundaries begin with each octet: this rules out most lines. */
  readonly #beginnings = new Uint16Array(256);
  #parts = 0;

  constructor(content: Content, limits: StructureLimits) {
    this.#octets = new ContentView(content);
    this.#limits = limits;
  }

  run(): keyof StructureLimits | undefined {
    let body = this.#header(0, false);
    if (body === undefined) return "depth";
    while (this.#byBoundary.size > 0) {
      const delimiter = this.#nextDelimiter(body);
      if (delimiter === undefined) return undefined;
      this.#leaveTo(delimiter.frame);
      body = delimiter.end;
      if (delimiter.closes) continue;
      if (++this.#parts > this.#limits.parts) return "parts";
      const next = this.#header(body, this.#frames[delimiter.frame]!.digest);
      if (next === undefined) return "depth";
      body = next;
    }
    return undefined;
  }

  /**
   * Reads the header at `start`, and those of the messages nested directly in it.
   *
   * @returns position of the body, or undefined if it is nested too deep
   */
  #header(start: number, inDigest: boolean): number | undefined {
    let at = start;
    let digest = inDigest;
    for (;;) {
      const { types, end } = this.#typesAt(at);
      at = end;
      const frame = frameOf(types, digest);
      if (frame === undefined) return at;
      if (this.#frames.length >= this.#limits.depth) return undefined;
      this.#enter(frame);
      if (frame.boundaries.length > 0) return at;
      digest = false;
    }
  }

  /** The bodies of the Content-Type fields, and the position after the header's empty line. */
  #typesAt(start: number): { types: string[]; end: number } {
    const octets = this.#octets;
    const types: string[] = [];
    let inType = false;
    for (let at = start;;) {
      if (at >= octets.length) return { types, end: at };
      const lineFeed = octets.indexOfOctet(LF, at);
      const end = lineFeed < 0 ? octets.length : lineFeed;
      const first = octets.octetAt(at);
      if (end === at || (first === CR && end === at + 1)) return { types, end: end + 1 };
      if (first === SPACE || first === TAB) {
        const last = types.length - 1;
        if (inType && types[last]!.length < MAX_TYPE) {
          types[last] += octets.text(at, Math.min(end, at + MAX_TYPE));
        }
      } else if (first === HYPHEN && this.#delimiterAt(at) !== undefined) {
        // A part may end before its header does.
        return { types, end: at };
      } else {
        inType = false;
        if ((first | 0x20) === 0x63 && types.length < MAX_TYPES) {
          const text = octets.text(at, Math.min(end, at + MAX_TYPE));
          const name = /^content-type[ \t]*:/i.exec(text)?.[0];
          inType = name !== undefined;
          if (name !== undefined) types.push(text.slice(name.length));
        }
      }
      at = end + 1;
    }
  }

  #enter(frame: Frame): void {
    for (const boundary of frame.boundaries) {
      if (this.#byBoundary.has(boundary)) continue;
      this.#byBoundary.set(boundary, this.#frames.length);
      this.#beginnings[boundary.charCodeAt(0) & 255]!++;
    }
    this.#frames.push(frame);
  }

  /** Leaves all frames inside of this one. */
  #leaveTo(index: number): void {
    while (this.#frames.length > index + 1) {
      const { boundaries } = this.#frames.pop()!;
      for (const boundary of boundaries) {
        if (this.#byBoundary.get(boundary) !== this.#frames.length) continue;
        this.#byBoundary.delete(boundary);
        this.#beginnings[boundary.charCodeAt(0) & 255]!--;
      }
    }
  }

  /** The first delimiter line from `from` on. */
  #nextDelimiter(from: number): Delimiter | undefined {
    const octets = this.#octets;
    // The octet before decides whether a line begins here.
    let at = from;
    for (;;) {
      at = octets.indexOfOctet(HYPHEN, at);
      if (at < 0) return undefined;
      if (at === 0 || octets.octetAt(at - 1) === LF) {
        const delimiter = this.#delimiterAt(at);
        if (delimiter !== undefined) return delimiter;
      }
      // Skips rows of hyphens.
      do at++; while (octets.octetAt(at) === HYPHEN);
    }
  }

  /** The delimiter line (RFC 2046 §5.1.1) of any open multipart that begins here. */
  #delimiterAt(at: number): Delimiter | undefined {
    const octets = this.#octets;
    if (octets.octetAt(at + 1) !== HYPHEN) return undefined;
    if (this.#beginnings[octets.octetAt(at + 2) & 255] === 0) return undefined;
    const lineFeed = octets.indexOfOctet(LF, at, at + MAX_DELIMITER);
    const lineEnd = lineFeed < 0 ? Math.min(octets.length, at + MAX_DELIMITER) : lineFeed;
    let end = lineEnd;
    while (end > at && isPadding(octets.octetAt(end - 1))) end--;
    const text = octets.text(at + 2, end);
    let frame = this.#byBoundary.get(text);
    let closes = false;
    if (frame === undefined) {
      if (!text.endsWith("--")) return undefined;
      frame = this.#byBoundary.get(text.slice(0, -2));
      closes = true;
    }
    return frame === undefined ? undefined : { frame, closes, end: lineEnd + 1 };
  }
}

function isPadding(octet: number): boolean {
  return octet === SPACE || octet === TAB || octet === CR;
}

/** The frame of a part that contains other parts. */
function frameOf(types: readonly string[], digest: boolean): Frame | undefined {
  if (types.length === 0) return digest ? MESSAGE : undefined;
  const read = types.map(parseParameterized);
  const multiparts = read.filter(({ value }) => value.startsWith("multipart/"));
  const boundaries = multiparts.flatMap(boundariesOf);
  if (boundaries.length > 0) {
    return { boundaries, digest: multiparts.some(({ value }) => value === "multipart/digest") };
  }
  return read.some(({ value }) => IS_MESSAGE.test(value)) ? MESSAGE : undefined;
}

const MESSAGE: Frame = { boundaries: [], digest: false };
/** RFC 2046 §5.2.1, RFC 6532 §3.7; message/news is the old type of newsgroups. */
const IS_MESSAGE = /^message\/(?:rfc822|global|news)$/;
