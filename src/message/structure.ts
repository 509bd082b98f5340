// How deep a message is nested and how many parts it has, in one pass over its octets.
//
// It counts what some later reader may see, not what the relay itself changes: so
// attached messages are looked into, a multipart that has been closed may have parts still, and what
// mime.ts calls opaque is counted too. Limits: MAX_MIME_DEPTH and MAX_MIME_PARTS.

import { CR, HYPHEN, LF, SPACE, TAB } from "../octets.ts";
import type { Content } from "../smtp/content.ts";
import { boundariesOf } from "./boundary.ts";
import { ContentView } from "./content_view.ts";
import { parseParameterized } from "./parameters.ts";

export interface StructureLimits {
  /** Multiparts and attached messages around the innermost part. */
  readonly depth: number;
  /** Parts of all multiparts together, those in attached messages too. */
  readonly parts: number;
}

/** Which limit a message is over; undefined where it keeps to both. */
export function structureExcess(
  content: Content,
  limits: StructureLimits,
): keyof StructureLimits | undefined {
  return new Scan(content, limits).run();
}

/** A multipart with its boundary (or boundaries, where several are given), or a message. */
interface Frame {
  readonly boundaries: readonly string[];
  /** Whether a part without a type is a message (RFC 2046 §5.1.5). */
  readonly digest: boolean;
}

interface Delimiter {
  /** Of the multipart among the frames. */
  readonly frame: number;
  readonly closes: boolean;
  /** Position after the line. */
  readonly end: number;
}

/** Octets of a delimiter line that are looked at: a boundary has 70 (RFC 2046 §5.1.1), or too many. */
const MAX_DELIMITER = 1000;
/** Octets of one Content-Type field, and such fields of one part, that are looked at. */
const MAX_TYPE = 64 * 1024;
const MAX_TYPES = 10;

class Scan {
  readonly #octets: ContentView;
  readonly #limits: StructureLimits;
  readonly #frames: Frame[] = [];
  /** Which frame a boundary belongs to: of two with the same, the outer one. */
  readonly #byBoundary = new Map<string, number>();
  /** How many boundaries begin with an octet: most lines that are no delimiter are known by it. */
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
      const behind = this.#header(body, this.#frames[delimiter.frame]!.digest);
      if (behind === undefined) return "depth";
      body = behind;
    }
    return undefined;
  }

  /**
   * Reads the header at `start`, and those of the messages that follow it, one in the other.
   *
   * @returns where the body begins, or undefined where that is too deep
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

  /** The bodies of the Content-Type fields, and where the header ends: after its empty line. */
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

  /** Leaves all frames that are within this one. */
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

  /** The first delimiter line that begins at `from` or after it. */
  #nextDelimiter(from: number): Delimiter | undefined {
    const octets = this.#octets;
    // An octet before decides whether a line begins here.
    let at = from;
    for (;;) {
      at = octets.indexOfOctet(HYPHEN, at);
      if (at < 0) return undefined;
      if (at === 0 || octets.octetAt(at - 1) === LF) {
        const delimiter = this.#delimiterAt(at);
        if (delimiter !== undefined) return delimiter;
      }
      // Rows of hyphens are many octets and no line.
      do at++; while (octets.octetAt(at) === HYPHEN);
    }
  }

  /** The delimiter line (RFC 2046 §5.1.1) that begins here, of any multipart that is open. */
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

/** What a part holds that has other parts in it. */
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
/** RFC 2046 §5.2.1, RFC 6532 §3.7; news is what it was called in newsgroups. */
const IS_MESSAGE = /^message\/(?:rfc822|global|news)$/;
