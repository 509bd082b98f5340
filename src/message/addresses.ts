// The mailboxes that an address header field names (RFC 5322 §3.4), and when two are the same.

import { domainToASCII } from "node:url";

/** Octets of a domain literal at most; what is longer is none. */
const MAX_LITERAL = 256;

/**
 * The addr-specs of a field body, `local@domain`, quoted local parts kept quoted. Display names,
 * comments, groups and routes are passed over; what is malformed is passed over too, for this only
 * has to find the addresses that a reader would.
 */
export function addressesIn(body: string): string[] {
  const found: string[] = [];
  // `Name <a@b>` or, without brackets, all of it.
  let outside = new Candidate();
  let angle: Candidate | undefined;
  let inAngle = false;
  const finish = () => {
    const { address } = angle ?? outside;
    if (address !== undefined) found.push(address);
    outside = new Candidate();
    angle = undefined;
    inAngle = false;
  };

  for (let i = 0; i < body.length;) {
    const candidate = inAngle ? angle! : outside;
    const c = body[i]!;
    let next = i + 1;
    if (c === "(") {
      next = skipComment(body, i);
    } else if (c === '"') {
      next = quotedEnd(body, i);
      // Nobody can say where a quote ends that does not: nothing more is found.
      if (next < 0) return found;
      candidate.add(body.slice(i, next));
    } else if (c === "[" && candidate.endsInAt) {
      next = literalEnd(body, i);
      candidate.add(body.slice(i, next));
    } else if (c === "<" && !inAngle) {
      angle = new Candidate();
      inAngle = true;
    } else if (c === ">" && inAngle) {
      inAngle = false;
    } else if ((c === "," || c === ";") && !inAngle) {
      finish();
    } else if (c === ":") {
      // The name of a group ends here (§3.4), or a route (§4.4).
      candidate.clear();
    } else if (c.trim() !== "") {
      candidate.add(c);
    }
    i = next;
  }
  finish();
  return found;
}

/** What may become an addr-spec. */
class Candidate {
  #text = "";
  /** Index of the last `@` outside of quotes and literals. */
  #at = -1;

  add(piece: string): void {
    if (piece === "@") this.#at = this.#text.length;
    this.#text += piece;
  }

  clear(): void {
    this.#text = "";
    this.#at = -1;
  }

  get endsInAt(): boolean {
    return this.#at >= 0 && this.#at === this.#text.length - 1;
  }

  get address(): string | undefined {
    return this.#at > 0 && this.#at < this.#text.length - 1 ? this.#text : undefined;
  }
}

/**
 * A form in which two spellings of one address are equal: local parts without regard to case
 * (Exchange takes them so) and to needless quotes, domains as A-labels.
 */
export function addressKey(address: string): string {
  if (PLAIN.test(address)) return address.toLowerCase();
  const at = address.lastIndexOf("@");
  let local = address.slice(0, at);
  if (/^".*"$/s.test(local)) local = local.slice(1, -1).replace(/\\(.)/gs, "$1");
  const domain = address.slice(at + 1).replace(/\.$/, "");
  return `${local.normalize("NFC").toLowerCase()}@${asciiDomain(domain)}`;
}

/** An address with nothing in it that needs more than lower case, as nearly all are. */
const PLAIN = /^[\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]*\w$/;

function asciiDomain(domain: string): string {
  const lower = domain.toLowerCase();
  if (/^[a-z0-9.-]*$/.test(lower)) return lower;
  // Not with what ends a host name elsewhere: it would be cut off there.
  // deno-lint-ignore no-control-regex -- all of ASCII but letters, digits, dot and hyphen
  if (/[\x00-\x2c\x2f\x3a-\x60\x7b-\x7f]/.test(lower)) return lower;
  return domainToASCII(lower) || lower;
}

/** Index behind the comment that begins at `start`; comments nest. */
function skipComment(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const c = text[i];
    if (c === "\\") i++;
    else if (c === "(") depth++;
    else if (c === ")" && --depth === 0) return i + 1;
  }
  return text.length;
}

/** Index behind the quoted string that begins at `start`, or -1 where it does not end. */
function quotedEnd(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i + 1;
  }
  return -1;
}

/** Index behind the domain literal that begins at `start` (§3.4.1), or behind its bracket alone. */
function literalEnd(text: string, start: number): number {
  const end = text.slice(start, start + MAX_LITERAL).indexOf("]");
  return end < 0 ? start + 1 : start + end + 1;
}
