// Reads replies (RFC 5321 §4.2) from octets that arrive in any pieces.

import { LineReader } from "../smtp/line_reader.ts";

/** A reply as the server sent it. */
export interface RawReply {
  readonly code: number;
  /** What follows the code in each line, as Latin-1. */
  readonly lines: readonly string[];
}

/** Why nothing more can be read: no SMTP reply, or more of one than {@link MAX_REPLY}. */
export type ReplyFault = "MALFORMED" | "TOOLONG";

/**
 * Octets of a line that are kept. RFC 5321 §4.5.3.1.5 allows 512; Exchange puts whole exceptions into
 * one.
 */
const MAX_LINE = 2048;
/** Octets of a reply. A reply to EHLO has some 500. */
export const MAX_REPLY = 64 * 1024;

/** The first digit says what kind it is (§4.2.1); no command of SMTP has a reply 1yz. */
const LINE = /^([2-5][0-9]{2})(?:([ -])([^]*))?$/;

export class ReplyReader {
  readonly #lines = new LineReader();
  /** The lines of the reply that is being read. */
  #texts: string[] = [];
  /** Octets since the end of the last reply. */
  #size = 0;
  #fault: ReplyFault | undefined;

  /** Whether there are octets after the last reply. */
  get pending(): boolean {
    return this.#size > 0;
  }

  add(octets: Uint8Array): void {
    this.#size += octets.length;
    this.#lines.add(octets);
  }

  /** @returns undefined if no more is there yet; a fault is the last result */
  next(): RawReply | ReplyFault | undefined {
    if (this.#fault !== undefined) return this.#fault;
    for (;;) {
      const line = this.#lines.next(() => MAX_LINE);
      if (line === undefined) {
        if (this.#size > MAX_REPLY) return this.#fail("TOOLONG");
        // Other replies and their memory have been read.
        this.#lines.keep();
        return undefined;
      }
      const [, code, separator, text = ""] =
        LINE.exec(typeof line === "string" ? line : line.beginning) ?? [];
      if (code === undefined) return this.#fail("MALFORMED");
      this.#texts.push(text);
      // §4.2.1: lines may be skipped up to the one with a space after its code, so that one counts.
      if (separator === "-") continue;
      if (this.#size - this.#lines.input.length > MAX_REPLY) return this.#fail("TOOLONG");
      const lines = this.#texts;
      this.#texts = [];
      this.#size = this.#lines.input.length;
      return { code: Number(code), lines };
    }
  }

  #fail(fault: ReplyFault): ReplyFault {
    this.#lines.clear();
    this.#texts = [];
    return this.#fault = fault;
  }
}
