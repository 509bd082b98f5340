/**
 * What Graph computes from a message's header: To, Cc and Bcc of its top level, read by a parser
 * that shares nothing with the relay's.
 */
import { Buffer } from "node:buffer";
import PostalMime, { addressParser } from "postal-mime";
import type { Content } from "../../src/smtp/content.ts";

/** The recipients, each in the form of {@link normalized}, sorted, without doubles. */
export async function recipientsOf(message: Content): Promise<string[]> {
  const { headers } = await PostalMime.parse(Buffer.concat([...message]));
  const found = new Set<string>();
  for (const { key, value } of headers) {
    if (key !== "to" && key !== "cc" && key !== "bcc") continue;
    for (const { address } of addressParser(value, { flatten: true })) {
      if (address !== undefined && address !== "") found.add(normalized(address));
    }
  }
  return [...found].sort();
}

/** An address without case, quotes and U-labels, by the URL parser and not by the relay's rules. */
export function normalized(address: string): string {
  const at = address.lastIndexOf("@");
  const local = address.slice(0, at).replace(/^"(.*)"$/s, "$1").replace(/\\(.)/gs, "$1");
  const domain = address.slice(at + 1).replace(/\.$/, "").toLowerCase();
  return `${local.normalize("NFC").toLowerCase()}@${hostname(domain)}`;
}

function hostname(domain: string): string {
  try {
    return new URL(`http://${domain}`).hostname;
  } catch {
    return domain;
  }
}

/** The fields of the top-level header that are, or were, recipients': octets without line ends. */
export function recipientFieldsOf(message: Content): string[] {
  const text = Buffer.concat([...message]).toString("utf8");
  const [header = ""] = text.split("\r\n\r\n", 1);
  return header.split(/\r\n(?![ \t])/).filter((field) =>
    /^(?:to|cc|bcc|resent-\w+|x-original-\w+) *:/i.test(field)
  );
}
