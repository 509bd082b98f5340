// The escapes that dialogue scripts write octets with; tests/smtp/dialogues/README.md lists them.

import { Buffer } from "node:buffer";

const SIMPLE = new Map([["\\", 92], ["r", 13], ["n", 10], ["t", 9], ["0", 0], ["}", 125]]);

/**
 * The octets that `text` stands for: UTF-8, but for the escapes.
 *
 * @throws {SyntaxError} at an escape that does not exist
 */
export function unescapeOctets(text: string): Uint8Array {
  const [octets, end] = decode(text, 0, false);
  if (end !== text.length) throw new SyntaxError(`nothing may follow: ${text.slice(end)}`);
  return octets;
}

/** {@link unescapeOctets} as text, for what is known to be UTF-8. */
export function unescapeText(text: string): string {
  return Buffer.from(unescapeOctets(text)).toString("utf8");
}

/** Octets in the scripts' spelling, for the messages of failed tests. */
export function escapeOctets(octets: Uint8Array): string {
  const named = new Map([[92, "\\\\"], [13, "\\r"], [10, "\\n"], [9, "\\t"], [0, "\\0"]]);
  let out = "";
  for (const octet of octets) {
    out += named.get(octet) ??
      (octet >= 32 && octet < 127
        ? String.fromCharCode(octet)
        : `\\x${octet.toString(16).padStart(2, "0")}`);
  }
  return out;
}

/** Decodes up to the end, or, inside of `\{…}`, up to the closing brace. */
function decode(text: string, start: number, inside: boolean): [Buffer, number] {
  const parts: Buffer[] = [];
  let i = start;
  while (i < text.length) {
    if (inside && text[i] === "}") return [Buffer.concat(parts), i + 1];
    const plain = /^[^\\}]+/.exec(text.slice(i))?.[0] ?? (text[i] === "}" ? "}" : undefined);
    if (plain !== undefined) {
      parts.push(Buffer.from(plain, "utf8"));
      i += plain.length;
      continue;
    }
    const [octets, next] = escape(text, i + 1);
    parts.push(octets);
    i = next;
  }
  if (inside) throw new SyntaxError(`no } ends \\{ in: ${text}`);
  return [Buffer.concat(parts), i];
}

/** Decodes the escape after the backslash. */
function escape(text: string, at: number): [Buffer, number] {
  const rest = text.slice(at);
  const simple = SIMPLE.get(rest[0] ?? "");
  if (simple !== undefined) return [Buffer.from([simple]), at + 1];
  const hex = /^x([0-9a-f]{2})/i.exec(rest);
  if (hex !== null) return [Buffer.from(hex[1]!, "hex"), at + 3];
  const repeat = /^\{(\d+)\*/.exec(rest);
  if (repeat !== null) {
    const [octets, end] = decode(text, at + repeat[0].length, true);
    return [Buffer.concat(Array<Buffer>(Number(repeat[1])).fill(octets)), end];
  }
  if (rest.startsWith("{base64 ")) {
    const [octets, end] = decode(text, at + "{base64 ".length, true);
    return [Buffer.from(octets.toString("base64")), end];
  }
  throw new SyntaxError(`unknown escape \\${rest.slice(0, 10)}`);
}
