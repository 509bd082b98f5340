// Reads one HTTP/1.1 response (RFC 9112) out of whatever pieces it arrives in.

import { Buffer } from "node:buffer";
import type { HttpResponse, ResponseHead } from "./client.ts";
import { Joiner } from "../octets.ts";

export type Progress = "more" | "complete" | "malformed" | "tooLong";

/** Octets of status line and header fields together, interim answers' and trailers counted in. */
const MAX_HEAD = 64 * 1024;
/** Octets about chunks for each octet in them: a chunk of one takes five. */
const MAX_PER_OCTET = 16;
const HEAD_END = Buffer.from("\r\n\r\n");
const LINE_END = Buffer.from("\r\n");
const NOTHING: Buffer = Buffer.alloc(0);
/** RFC 9112 §4; a reason is not needed, and a status has one of five classes (RFC 9110 §15). */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/;
/** A field's name is a token, and its colon follows at once (RFC 9112 §5.1). */
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(.*)$/;
/** RFC 9112 §2.2: what some readers take for a line's end, and others do not. */
const STRAY = /\r(?!\n)|(?<!\r)\n|\0/;

export class ResponseReader {
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
  #fault = "";

  constructor(maxBody: number, method: string) {
    this.#maxBody = maxBody;
    this.#method = method;
  }

  /** Whether any octet of the response has arrived. */
  get begun(): boolean {
    return this.#begun;
  }

  /**
   * Of the response itself, not of an interim one; undefined until its head has come in whole. Of an
   * response that is malformed, the status counts all the same where it was beyond doubt.
   */
  get head(): ResponseHead | undefined {
    return this.#headRead ? { status: this.#status, headers: this.#headers } : undefined;
  }

  /** What is wrong with a response that is malformed, in words of the relay's own. */
  get fault(): string {
    return this.#fault;
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

  /** The other side has closed. @returns whether that completes the response */
  end(): boolean {
    if (this.#state !== "untilClose") return false;
    this.#state = "complete";
    return true;
  }

  response(): HttpResponse {
    return {
      type: "response",
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
      return this.#overhead + this.#input.length > MAX_HEAD
        ? this.#malformed("its head never ends")
        : "more";
    }
    this.#overhead += end + HEAD_END.length;
    if (this.#overhead > MAX_HEAD) return this.#malformed("its head is too long");
    const head = this.#input.toString("latin1", 0, end);
    this.#input = this.#input.subarray(end + HEAD_END.length);
    if (STRAY.test(head)) return this.#malformed("a stray CR, LF or NUL is in its head");
    const lines = head.split("\r\n");
    const status = STATUS_LINE.exec(lines[0]!);
    if (status === null) return this.#malformed("its first line is not HTTP/1.1's");
    this.#status = Number(status[2]);
    // Nothing asks for another protocol (RFC 9110 §15.2.2).
    if (this.#status === 101) return this.#malformed("it changes to another protocol unasked");
    const interim = this.#status < 200;
    this.#headers = new Map();
    this.#headRead = !interim;
    const framing = new FramingFields();
    for (let index = 1; index < lines.length; index++) {
      const field = FIELD_LINE.exec(lines[index]!);
      // A folded line is none either (RFC 9112 §5.2).
      if (field === null) return this.#malformed("a line of its head is no header field");
      const name = field[1]!.toLowerCase();
      const value = withoutSpace(field[2]!);
      this.#headers.set(name, value);
      framing.add(name, value);
    }
    if (!interim) return this.#beginBody(framing, status[1]!);
    // RFC 9110 §15.2: interim answers come before the real one, and have no body (§8.6, RFC 9112 §6.1).
    return framing.codings.length > 0 || framing.lengths.length > 0
      ? this.#malformed("an interim answer announces a body")
      : undefined;
  }

  /**
   * RFC 9112 §6.3: how long the body is. Whatever two readers could take for two lengths is malformed:
   * what one of them calls the body would be the response to the next request for the other, and that
   * may be somebody else's.
   */
  #beginBody(framing: FramingFields, minor: string): Progress | undefined {
    const { codings, lengths, connection } = framing;
    this.#keepAlive = !connection.includes("close") &&
      (minor === "1" || connection.includes("keep-alive"));
    if (codings.length > 0) {
      // RFC 9112 §6.1: HTTP/1.0 has none; no other coding is asked for, and chunked comes once.
      if (minor === "0") return this.#malformed("a Transfer-Encoding in HTTP/1.0");
      if (lengths.length > 0) return this.#malformed("Transfer-Encoding and Content-Length");
      if (codings.length > 1 || codings[0] !== "chunked") {
        return this.#malformed("a Transfer-Encoding other than chunked");
      }
    }
    const [length] = lengths;
    if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) return this.#malformed("a Content-Length that is no number");
      if (lengths.some((other) => other !== length)) {
        return this.#malformed("more than one Content-Length");
      }
      // RFC 9110 §8.6 lets the same length stand there again: who wrote it did not write with care.
      if (lengths.length > 1) this.#keepAlive = false;
    }
    if (this.#method === "HEAD" || this.#status === 204 || this.#status === 304) {
      // A 204 says nothing of a body it does not have (RFC 9110 §8.6, RFC 9112 §6.1).
      const announced = codings.length > 0 || length !== undefined && Number(length) > 0;
      if (this.#status === 204 && announced) this.#keepAlive = false;
      this.#state = "complete";
    } else if (codings.length > 0) {
      this.#state = "chunked";
    } else if (length !== undefined) {
      this.#expected = Number(length);
      if (this.#expected > this.#maxBody) return "tooLong";
      this.#state = "length";
    } else {
      this.#keepAlive = false;
      this.#state = "untilClose";
    }
    return undefined;
  }

  #malformed(fault: string): Progress {
    this.#fault = fault;
    return "malformed";
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
    if (end < 0) {
      return this.#input.length > MAX_HEAD
        ? this.#malformed("a line of its chunks never ends")
        : "more";
    }
    this.#overhead += end + 2;
    // Nobody's chunks and trailers say so much about so little.
    if (this.#overhead > 2 * MAX_HEAD + MAX_PER_OCTET * this.#bodyLength) {
      return this.#malformed("its chunks say too much about themselves");
    }
    const line = this.#input.toString("latin1", 0, end);
    this.#input = this.#input.subarray(end + 2);
    if (STRAY.test(line)) return this.#malformed("a stray CR, LF or NUL is among its chunks");
    if (this.#chunkLeft === 0) {
      // The line end behind a chunk's octets.
      if (line !== "") return this.#malformed("a chunk is longer than its size");
      this.#chunkLeft = -1;
    } else if (this.#chunkLeft === -2) {
      if (line === "") this.#state = "complete";
      else if (!FIELD_LINE.test(line)) return this.#malformed("a trailer is no field");
    } else {
      const size = /^([0-9a-f]{1,8})(?:[ \t]*;.*)?$/i.exec(line);
      if (size === null) return this.#malformed("a chunk's size is no number");
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

/** The fields that say where a response ends and what follows it: all of a name count, not the last. */
class FramingFields {
  readonly codings: string[] = [];
  readonly lengths: string[] = [];
  /** In lower case. */
  readonly connection: string[] = [];

  /** @param name in lower case */
  add(name: string, value: string): void {
    if (name === "content-length") this.lengths.push(...members(value));
    else if (name === "transfer-encoding") this.codings.push(...members(value.toLowerCase()));
    else if (name === "connection") this.connection.push(...members(value.toLowerCase()));
  }
}

/** RFC 9110 §5.6.1. An empty member stays: a length of none is no length. */
function members(list: string): string[] {
  return list.split(",").map(withoutSpace);
}

/** RFC 9110 §5.6.3: `trim` would take more for white space than HTTP does. */
function withoutSpace(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isSpace(text.charCodeAt(from))) from++;
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
