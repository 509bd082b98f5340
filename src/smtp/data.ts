// The framing of DATA (RFC 5321 §4.1.1.4, §4.5.2): where the content ends, and dot-stuffing undone.
//
// Only CRLF "." CRLF ends the content. A stray CR or LF is content like any other octet, begins no
// line here and ends none, so no input can be read as two messages (CVE-2023-51764 and its kin).

import type { Buffer } from "node:buffer";
import { asBuffer, CR, CRLF, DOT, indexOfCrlfDot, LF } from "../octets.ts";

/** A line with a single dot, and the line end before it. */
const MISSED_END = /\n\.\r*\n$/;
/** Octets of such an end, with two CRs at most. */
const LONGEST_END = 6;

/** Where content octets go. */
export interface ContentSink {
  append(bytes: Uint8Array): void;
}

/** How much of the sequence that ends the data has come. */
const enum Seen {
  /** Nothing: in the middle of a line. */
  Nothing,
  Cr,
  /** CRLF, or the beginning of the content: a dot here is transparent. */
  LineStart,
  /** CRLF "." */
  Dot,
  /** CRLF "." CR */
  DotCr,
}

/** Decodes one DATA content; make a new one for each. */
export class DataDecoder {
  #seen: Seen = Seen.LineStart;
  readonly #sink: ContentSink;
  /** The last octets, as text, while the end of the data has not come. */
  #last = "\r\n";

  constructor(sink: ContentSink) {
    this.#sink = sink;
  }

  /**
   * Takes octets up to the end of data.
   *
   * @returns the index after the final CRLF "." CRLF, or -1 when more is needed
   */
  push(bytes: Uint8Array): number {
    const buffer = asBuffer(bytes);
    let i = 0;
    while (i < buffer.length) {
      if (this.#seen === Seen.Nothing) {
        i = this.#skipToLine(buffer, i);
        continue;
      }
      const octet = buffer[i]!;
      switch (this.#seen) {
        case Seen.Cr:
          if (octet === LF) {
            this.#seen = Seen.LineStart;
            this.#sink.append(buffer.subarray(i, i + 1));
            i++;
          } else {
            this.#seen = Seen.Nothing;
          }
          break;
        case Seen.LineStart:
          // The dot is held back: it is either stuffing or part of the end.
          if (octet === DOT) {
            this.#seen = Seen.Dot;
            i++;
          } else {
            this.#seen = Seen.Nothing;
          }
          break;
        case Seen.Dot:
          if (octet === CR) {
            this.#seen = Seen.DotCr;
            i++;
          } else {
            // Stuffing: the dot is dropped, what follows is content.
            this.#seen = Seen.Nothing;
          }
          break;
        case Seen.DotCr:
          if (octet === LF) return i + 1;
          // A line that began with a dot and a stray CR.
          this.#sink.append(CRLF.subarray(0, 1));
          this.#seen = Seen.Nothing;
          break;
      }
    }
    // The sink may have discarded what it was given by now: that loses no more than this hint.
    this.#last = (this.#last + buffer.toString("latin1", Math.max(0, buffer.length - LONGEST_END)))
      .slice(-LONGEST_END);
    return -1;
  }

  /**
   * Whether the octets so far end in a line with a single dot that does not end the data, because that
   * line or the one before it does not end in CRLF.
   */
  get endMissed(): boolean {
    return MISSED_END.test(this.#last);
  }

  /**
   * Hands on content from `start` up to the next CRLF that a dot follows, or up to the end of the
   * buffer. Nearly all octets go this way, by native search.
   */
  #skipToLine(buffer: Buffer, start: number): number {
    const found = indexOfCrlfDot(buffer, start);
    if (found >= 0) {
      this.#sink.append(buffer.subarray(start, found + 2));
      this.#seen = Seen.LineStart;
      return found + 2;
    }
    this.#sink.append(buffer.subarray(start));
    const last = buffer[buffer.length - 1];
    if (last === CR) this.#seen = Seen.Cr;
    else if (last === LF && buffer.length - start > 1 && buffer[buffer.length - 2] === CR) {
      this.#seen = Seen.LineStart;
    }
    return buffer.length;
  }
}
