// Reads one HTTP/1.1 response (RFC 9112), in whatever pieces it arrives.

import { Buffer } from "node:buffer";
import type { HttpResponse, ResponseHead } from "./types.ts";
import { Joiner } from "../octets.ts";

export type Progress = "more" | "complete" | "malformed" | "tooLong";

/** Octets of status line and header fields together, including interim responses and trailers. */
const MAX_HEAD = 64 * 1024;
/** Octets of chunk framing allowed for each octet of content: a chunk of one octet needs five. */
const MAX_PER_OCTET = 16;
const HEAD_END = Buffer.from("\r\n\r\n");
const LINE_END = Buffer.from("\r\n");
const NOTHING: Buffer = Buffer.alloc(0);
const NONE: readonly string[] = [];
const NO_FIELDS = new Map<string, string>();
/** RFC 9112 §4: the reason phrase is optional. RFC 9110 §15: there are five classes of status. */
const STATUS_LINE = /^HTTP\/1\.[01] [1-5]\d\d(?: .*)?$/;
/** A field's name (RFC 9110 §5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** A field's name is a token, followed directly by its colon (RFC 9112 §5.1). */
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(.*)$/;
export class ResponseReader {
  readonly #maxBody: number;
  readonly #method: string;
  #input = NOTHING;
  readonly #joiner = new Joiner();
  /** Octets of the input that have been searched for a line end without finding one. */
  #searched = 0;
  #status = 0;
  #headers: Map<string, string> = NO_FIELDS;
  #keepAlive = false;
  #body: Buffer[] = [];
  #bodyLength = 0;
  #state: "head" | "length" | "chunked" | "untilClose" | "complete" = "head";
  #expected = 0;
  /**
   * Octets left of the current chunk; 0 before the line end after it, -1 before a size line, -2 in the
   * trailers.
   */
  #chunkLeft = -1;
  /** Octets so far that are not part of the body. */
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
   * The head of the final response, never of an interim one; undefined until it has arrived complete.
   * A malformed response has a head too, if its status was beyond doubt.
   */
  get head(): ResponseHead | undefined {
    return this.#headRead ? { status: this.#status, headers: this.#headers } : undefined;
  }

  /** What is wrong with a malformed response; quotes nothing of it. */
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

  /** The service has closed the connection. @returns whether that completes the response */
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
    // Including the CR LF of its last line.
    const head = this.#input.toString("latin1", 0, end + LINE_END.length);
    this.#input = rest(this.#input, end + HEAD_END.length);
    if (hasStray(head)) return this.#malformed("a stray CR, LF or NUL is in its head");
    const folded = head.toLowerCase();
    let lineEnd = head.indexOf("\r");
    const statusLine = head.slice(0, lineEnd);
    if (!STATUS_LINE.test(statusLine)) {
      return this.#malformed("its first line is not HTTP/1.1's");
    }
    this.#status = Number(statusLine.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length));
    // The relay never asks for another protocol (RFC 9110 §15.2.2).
    if (this.#status === 101) return this.#malformed("it changes to another protocol unasked");
    const interim = this.#status < 200;
    const headers = this.#headers = new Map<string, string>();
    this.#headRead = !interim;
    let codings: string[] | undefined;
    let lengths: string[] | undefined;
    let connection: string[] | undefined;
    for (let at = lineEnd + 2; at < head.length; at = lineEnd + 2) {
      lineEnd = head.indexOf("\r", at);
      const colon = head.indexOf(":", at);
      const name = folded.slice(at, colon);
      // This includes folded lines (RFC 9112 §5.2).
      if (colon < 0 || colon > lineEnd || !TOKEN.test(name)) {
        return this.#malformed("a line of its head is no header field");
      }
      headers.set(name, withoutSpace(head, colon + 1, lineEnd));
      // For framing, every field of a name counts, not only the last.
      if (name === "content-length") {
        lengths = addMembers(folded.slice(colon + 1, lineEnd), lengths);
      } else if (name === "transfer-encoding") {
        codings = addMembers(folded.slice(colon + 1, lineEnd), codings);
      } else if (name === "connection") {
        connection = addMembers(folded.slice(colon + 1, lineEnd), connection);
      }
    }
    if (!interim) {
      return this.#beginBody(
        statusLine["HTTP/1.".length]!,
        codings ?? NONE,
        lengths ?? NONE,
        connection ?? NONE,
      );
    }
    // RFC 9110 §15.2: interim responses precede the final one, and have no body (§8.6, RFC 9112 §6.1).
    return codings !== undefined || lengths !== undefined
      ? this.#malformed("an interim answer announces a body")
      : undefined;
  }

  /**
   * RFC 9112 §6.3: how long the body is. A head in which two readers could see different lengths is
   * malformed: what is body to one of them is the response to the next request to the other, and that
   * request may be another account's.
   */
  #beginBody(
    minor: string,
    codings: readonly string[],
    lengths: readonly string[],
    connection: readonly string[],
  ): Progress | undefined {
    this.#keepAlive = !connection.includes("close") &&
      (minor === "1" || connection.includes("keep-alive"));
    if (codings.length > 0) {
      // RFC 9112 §6.1: not in HTTP/1.0; the relay asks for no other coding, and chunked is applied once.
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
      // RFC 9110 §8.6 allows a repeated length. The writer was careless: do not reuse the connection.
      if (lengths.length > 1) this.#keepAlive = false;
    }
    if (this.#method === "HEAD" || this.#status === 204 || this.#status === 304) {
      // A 204 must not announce a body, which it does not have (RFC 9110 §8.6, RFC 9112 §6.1).
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

  /** RFC 9112 §7.1. Ignores extensions and trailers. */
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
    // No honest service spends so many octets on so little content.
    if (this.#overhead > 2 * MAX_HEAD + MAX_PER_OCTET * this.#bodyLength) {
      return this.#malformed("its chunks say too much about themselves");
    }
    const line = this.#input.toString("latin1", 0, end);
    this.#input = rest(this.#input, end + 2);
    if (hasStray(`${line}\r\n`)) {
      return this.#malformed("a stray CR, LF or NUL is among its chunks");
    }
    if (this.#chunkLeft === 0) {
      // The line end after a chunk's octets.
      if (line !== "") return this.#malformed("a chunk is longer than its size");
      this.#chunkLeft = -1;
    } else if (this.#chunkLeft === -2) {
      if (line === "") this.#state = "complete";
      else if (!FIELD_LINE.test(line)) return this.#malformed("a trailer is no field");
    } else {
      const size = /^([0-9a-f]{1,8})(?:[ \t]*;.*)?$/i.exec(line);
      if (size === null) return this.#malformed("a chunk's size is no number");
      this.#chunkLeft = parseInt(size[1]!, 16);
      // The trailers follow the last chunk, up to an empty line.
      if (this.#chunkLeft === 0) this.#chunkLeft = -2;
    }
    return undefined;
  }

  /** Where these octets begin, or -1. Does not search the same input twice. */
  #find(octets: Buffer): number {
    const found = this.#input.indexOf(octets, Math.max(0, this.#searched - octets.length + 1));
    this.#searched = found < 0 ? this.#input.length : 0;
    return found;
  }

  #take(octets: number): boolean {
    if (octets === 0) return true;
    this.#bodyLength += octets;
    if (this.#bodyLength > this.#maxBody) return false;
    const all = octets === this.#input.length;
    this.#body.push(all ? this.#input : this.#input.subarray(0, octets));
    this.#input = rest(this.#input, octets);
    return true;
  }
}

/**
 * RFC 9112 §2.2: whether there is a CR, LF or NUL that only some readers take for a line's end.
 *
 * @param lines each with its CR LF
 */
function hasStray(lines: string): boolean {
  for (let at = 0, cr; at < lines.length; at = cr + 2) {
    cr = lines.indexOf("\r", at);
    if (lines.indexOf("\n", at) !== cr + 1) return true;
  }
  return lines.includes("\0");
}

/**
 * Adds the members of a list (RFC 9110 §5.6.1) to those of earlier fields. Keeps empty members, because
 * an empty length is not a number.
 */
function addMembers(list: string, members: string[] = []): string[] {
  if (!list.includes(",")) members.push(withoutSpace(list, 0, list.length));
  else for (const member of list.split(",")) members.push(withoutSpace(member, 0, member.length));
  return members;
}

/** RFC 9110 §5.6.3. Not `trim`, which removes more than HTTP's white space. */
function withoutSpace(text: string, from: number, to: number): string {
  while (from < to && isSpace(text.charCodeAt(from))) from++;
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** What follows the first `octets`: usually nothing, and then no view need be made. */
function rest(input: Buffer, octets: number): Buffer {
  return octets === input.length ? NOTHING : input.subarray(octets);
}
