// The mailboxes that an address header field names (RFC 5322 §3.4), and when two are the same.

import { domainToASCII } from "node:url";

/**
 * The addr-specs of a field body, `local@domain`, quoted local parts kept quoted. Display names,
 * comments, groups and routes are passed over; what is malformed is passed over too, for this only
 * has to find the addresses that a reader would.
 */
export function addressesIn(body: string): string[] {
  const found: string[] = [];
  let outside = "";
  let angle: string | undefined;
  const finish = () => {
    // `Name <a@b>` or, without brackets, all of it.
    const candidate = (angle ?? outside).replace(/[\s\u0000]+/g, "");
    const address = candidate.slice(candidate.lastIndexOf(":") + 1);
    if (/^.+@[^@]+$/s.test(address)) found.push(address);
    outside = "";
    angle = undefined;
  };

  for (let i = 0; i < body.length;) {
    const c = body[i]!;
    if (c === "(") {
      i = skipComment(body, i);
    } else if (c === '"') {
      const end = quotedEnd(body, i);
      outside += body.slice(i, end);
      i = end;
    } else if (c === "<") {
      const end = angleEnd(body, i);
      angle = withoutComments(body.slice(i + 1, end));
      i = end + 1;
    } else if (c === "," || c === ";") {
      finish();
      i++;
    } else if (c === ":") {
      // The name of a group ends here (§3.4).
      outside = "";
      i++;
    } else {
      outside += c;
      i++;
    }
  }
  finish();
  return found;
}

/**
 * A form in which two spellings of one address are equal: local parts without regard to case
 * (Exchange takes them so) and to needless quotes, domains as A-labels.
 */
export function addressKey(address: string): string {
  const at = address.lastIndexOf("@");
  let local = address.slice(0, at);
  if (/^".*"$/s.test(local)) local = local.slice(1, -1).replace(/\\(.)/gs, "$1");
  const domain = address.slice(at + 1).replace(/\.$/, "");
  return `${local.normalize("NFC").toLowerCase()}@${asciiDomain(domain)}`;
}

function asciiDomain(domain: string): string {
  const lower = domain.toLowerCase();
  if (/^[a-z0-9.-]*$/.test(lower)) return lower;
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

/** Index behind the quoted string that begins at `start`. */
function quotedEnd(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i + 1;
  }
  return text.length;
}

/** Index of the `>` that ends the angle-addr that begins at `start`. */
function angleEnd(text: string, start: number): number {
  for (let i = start + 1; i < text.length;) {
    const c = text[i];
    if (c === '"') i = quotedEnd(text, i);
    else if (c === "(") i = skipComment(text, i);
    else if (c === ">") return i;
    else i++;
  }
  return text.length;
}

function withoutComments(text: string): string {
  let out = "";
  for (let i = 0; i < text.length;) {
    if (text[i] === '"') {
      const end = quotedEnd(text, i);
      out += text.slice(i, end);
      i = end;
    } else if (text[i] === "(") {
      i = skipComment(text, i);
    } else {
      out += text[i++];
    }
  }
  return out;
}
