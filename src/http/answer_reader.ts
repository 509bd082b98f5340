// Reads one HTTP/1.1 answer (RFC 9112) out of whatever pieces it arrives in.

import { Buffer } from "node:buffer";
import type { AnswerHead, HttpAnswer } from "./client.ts";
import { Joiner } from "../octets.ts";

export type Progress = "more" | "complete" | "malformed" | "tooLong";

/** Octets of status line and header fields together, interim answers' and trailers counted in. */
const MAX_HEAD = 64 * 1024;
/** Octets about chunks for each octet in them: a chunk of one takes five. */
const MAX_PER_OCTET = 16;
const HEAD_END = Buffer.from("\r\n\r\n");
const LINE_END = Buffer.from("\r\n");
const NOTHING: Buffer = Buffer.alloc(0);
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: |\r\n|$)/;

export class AnswerReader {
  readonly #maxBody: number;
  readonly #method: string;
  #input = NOTHING;
  readonly #joiner = new Joiner();
  /** Octets of the input in which no line end has been found that is looked for. */
  #searched = 0;
  #status = 0;
  #headers = new Map<string, string>();
  #keepAlive = false;
  #body: Buffer[] = [];
  #bodyLength = 0;
  #state: "head" | "length" | "chunked" | "untilClose" | "complete" = "head";
  #expected = 0;
  /** Octets left of the current chunk; -1 before its size line. */
  #chunkLeft = -1;
  /** Octets so far that are no body. */
  #overhead = 0;
  #begun = false;
  #headRead = false;

  constructor(maxBody: number, method: string) {
    this.#maxBody = maxBody;
    this.#method = method;
  }

  /** Whether any octet of the answer has arrived. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Of the answer itself, not of an interim one; undefined until its head has come in whole. */
  get head(): AnswerHead | undefined {
    return this.#headRead ? { status: this.#status, headers: this.#headers } : undefined;
  }

  /** Whether the connection may carry another request (RFC 9112 §9.3). */
  get reusable(): boolean {
    return this.#state === "complete" && this.#keepAlive && this.#input.length === 0;
  }

  push(octets: Uint8Array): Progress {
    this.#begun = true;
    this.#input = this.#joiner.join(this.#input, octets);
    for (;;) {
      const progress = this.#step();
      if (progress !== undefined) return progress;
    }
  }

  /** The other side has closed. @returns whether that completes the answer */
  end(): boolean {
    if (this.#state !== "untilClose") return false;
    this.#state = "complete";
    return true;
  }

  answer(): HttpAnswer {
    return {
      type: "answer",
      status: this.#status,
      headers: this.#headers,
      body: this.#body.length < 2 ? this.#body[0] ?? NOTHING : Buffer.concat(this.#body),
    };
  }

  #step(): Progress | undefined {
    switch (this.#state) {
      case "head":
        return this.#readHead();
      case "length":
        return this.#readLength();
      case "chunked":
        return this.#readChunk();
      case "untilClose": {
        const taken = this.#take(this.#input.length);
        return taken ? "more" : "tooLong";
      }
      case "complete":
        return "complete";
    }
  }

  #readHead(): Progress | undefined {
    const end = this.#find(HEAD_END);
    if (end < 0) {
      return this.#overhead + this.#input.length > MAX_HEAD ? "malformed" : "more";
    }
    this.#overhead += end + HEAD_END.length;
    if (this.#overhead > MAX_HEAD) return "malformed";
    const head = this.#input.toString("latin1", 0, end);
    this.#input = this.#input.subarray(end + HEAD_END.length);
    const status = STATUS_LINE.exec(head);
    if (status === null) return "malformed";
    this.#headers = new Map();
    for (let at = lineEnd(head, 0) + 2; at < head.length;) {
      const next = lineEnd(head, at);
      const colon = head.indexOf(":", at);
      if (colon <= at || colon > next) return "malformed";
      this.#headers.set(head.slice(at, colon).toLowerCase(), head.slice(colon + 1, next).trim());
      at = next + 2;
    }
    this.#status = Number(status[2]);
    // RFC 9110 §15.2: interim answers come before the real one.
    if (this.#status < 200 && this.#status !== 101) return undefined;
    this.#headRead = true;
    const connection = (this.#headers.get("connection") ?? "").toLowerCase();
    this.#keepAlive = status[1] === "1"
      ? !connection.includes("close")
      : connection.includes("keep-alive");
    return this.#beginBody();
  }

  /** RFC 9112 §6.3: how long the body is. */
  #beginBody(): Progress | undefined {
    const coding = this.#headers.get("transfer-encoding");
    const length = this.#headers.get("content-length");
    if (this.#method === "HEAD" || this.#status === 204 || this.#status === 304) {
      this.#state = "complete";
    } else if (coding !== undefined) {
      if (coding.toLowerCase() !== "chunked") return "malformed";
      this.#state = "chunked";
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) return "malformed";
      this.#expected = Number(length);
      if (this.#expected > this.#maxBody) return "tooLong";
      this.#state = "length";
    } else {
      this.#keepAlive = false;
      this.#state = "untilClose";
    }
    return undefined;
  }

  #readLength(): Progress | undefined {
    this.#take(Math.min(this.#input.length, this.#expected - this.#bodyLength));
    if (this.#bodyLength < this.#expected) return "more";
    this.#state = "complete";
    return undefined;
  }

  /** RFC 9112 §7.1. Extensions and trailers are passed over. */
  #readChunk(): Progress | undefined {
    if (this.#chunkLeft > 0) {
      const part = Math.min(this.#chunkLeft, this.#input.length);
      if (part === 0) return "more";
      this.#chunkLeft -= part;
      return this.#take(part) ? undefined : "tooLong";
    }
    const end = this.#find(LINE_END);
    if (end < 0) return this.#input.length > MAX_HEAD ? "malformed" : "more";
    this.#overhead += end + 2;
    // Nobody's chunks and trailers say so much about so little.
    if (this.#overhead > 2 * MAX_HEAD + MAX_PER_OCTET * this.#bodyLength) return "malformed";
    const line = this.#input.toString("latin1", 0, end);
    this.#input = this.#input.subarray(end + 2);
    if (this.#chunkLeft === 0) {
      // The line end behind a chunk's octets.
      if (line !== "") return "malformed";
      this.#chunkLeft = -1;
    } else if (this.#chunkLeft === -2) {
      if (line === "") this.#state = "complete";
    } else {
      const size = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line);
      if (size === null) return "malformed";
      this.#chunkLeft = parseInt(size[1]!, 16);
      // Behind the last chunk come the trailers, up to an empty line.
      if (this.#chunkLeft === 0) this.#chunkLeft = -2;
    }
    return undefined;
  }

  /** Where these octets begin, or -1: what has been searched in vain is not searched again. */
  #find(octets: Buffer): number {
    const found = this.#input.indexOf(octets, Math.max(0, this.#searched - octets.length + 1));
    this.#searched = found < 0 ? this.#input.length : 0;
    return found;
  }

  #take(octets: number): boolean {
    if (octets === 0) return true;
    this.#bodyLength += octets;
    if (this.#bodyLength > this.#maxBody) return false;
    this.#body.push(this.#input.subarray(0, octets));
    this.#input = this.#input.subarray(octets);
    return true;
  }
}

function lineEnd(head: string, from: number): number {
  const end = head.indexOf("\r\n", from);
  return end < 0 ? head.length : end;
}
