// Compares and validates addresses (RFC 5321 §4.1.2, RFC 5890).

import { late } from "../late_modules.ts";
import { parsePathArgument } from "../smtp/path.ts";
import { printable, type Reply } from "../smtp/reply.ts";

/** An address that only needs lower case to be compared, as nearly all do. */
const PLAIN = /^[\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]*\w$/;
/** Characters outside of ASCII that normalization (NFC) turns into ASCII. */
const POSING_AS_ASCII = /[\u212a\u037e\u1fef]/;

/**
 * Octets of an address at most: RFC 5321 §4.5.3.1 allows 64 for a local part, 255 for a domain. A
 * path of the envelope has 254 for both. A header field may be longer and still name the same
 * address: with needless quotes, with letters that NFC composes, or with a domain in U-labels.
 */
export const MAX_ADDRESS = 64 + 1 + 255;

/**
 * A form in which two spellings of one address are equal: local parts ignore case (as Exchange
 * does) and needless quotes, domains are A-labels. A text longer than {@link MAX_ADDRESS} is not an
 * address, and equals only itself.
 */
export function addressKey(address: string): string {
  // Checked first, because normalization takes more than linear time.
  if (address.length > MAX_ADDRESS) return address;
  if (PLAIN.test(address)) return address.toLowerCase();
  const at = address.lastIndexOf("@");
  let local = address.slice(0, at);
  if (/^".*"$/s.test(local)) local = local.slice(1, -1).replace(/\\(.)/gs, "$1");
  return `${foldedLocalPart(local)}@${asciiDomain(address.slice(at + 1))}`;
}

function foldedLocalPart(local: string): string {
  // The Kelvin sign is not the letter K.
  if (POSING_AS_ASCII.test(local)) return local;
  return local.normalize("NFC").toLowerCase();
}

function asciiDomain(domain: string): string {
  const lower = domain.toLowerCase();
  if (/^[a-z0-9.-]*$/.test(lower)) return lower;
  // Not with characters that end a host name in a URL: it would be cut off there.
  // deno-lint-ignore no-control-regex -- all of ASCII but letters, digits, dot and hyphen
  if (/[\x00-\x2c\x2f\x3a-\x60\x7b-\x7f]/.test(lower)) return lower;
  return late.url.domainToASCII(lower) || lower;
}

/** Invisible or unassigned characters; U+FFFD stands for octets that are not UTF-8. */
const UNSEEN = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\ufffd]/u;

/**
 * Whether every reader finds the same address in this text: {@link addressKey} drops and replaces
 * characters of a domain as UTS #46 says, which another reader may not do.
 */
export function isNormalized(address: string): boolean {
  if (address.length > MAX_ADDRESS) return false;
  if (PLAIN.test(address)) return true;
  if (UNSEEN.test(address)) return false;
  const domain = address.slice(address.lastIndexOf("@") + 1).toLowerCase();
  const ascii = asciiDomain(domain);
  return ascii === domain || late.url.domainToUnicode(ascii) === domain.normalize("NFC");
}

/** The form of nearly all addresses. */
const SIMPLE = /^[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*$/;
const MAX_SIMPLE = 64;

/** Whether the text is an address of the usual kind, with nothing in it that has a meaning elsewhere in a field. */
export function isSimple(text: string): boolean {
  return text.length <= MAX_SIMPLE && SIMPLE.test(text);
}

/** Whether the text is one address with a domain, as a reverse-path may have it. */
export function isAddress(text: string): boolean {
  if (text.length > MAX_ADDRESS) return false;
  if (isSimple(text)) return true;
  // U+FFFD stands for octets that are not UTF-8.
  if (text.includes("\ufffd")) return false;
  const path = parsePathArgument(`<${text}>`);
  if (typeof path === "string" || path.mailbox === undefined) return false;
  return path.mailbox.domain !== "" && path.mailbox.address === text;
}

/**
 * Whether a mail system may read another address in it than the envelope shows: because it decodes
 * an encoded word (not allowed here, RFC 2047 §5), or splits a list at quoted separators. U+FFFD
 * stands for octets that are not UTF-8.
 */
export function isAmbiguous(address: string): boolean {
  if (/=\?[^?]*\?[bq]\?.*\?=|\ufffd/i.test(address)) return true;
  return address.startsWith('"') && /[@,;:<>()[\]\\"]/.test(quotedText(address));
}

/** The reply that refuses a recipient with an ambiguous address; undefined for others. */
export function recipientRefusal(address: string): Reply & { readonly text: string } | undefined {
  if (!isAmbiguous(address)) return undefined;
  const text = "Recipient whose address other mail systems read differently: " +
    `<${printable(address)}>`;
  return { code: 550, enhanced: "5.1.3", text };
}

function quotedText(address: string): string {
  return address.slice(1, address.lastIndexOf('"@'));
}
