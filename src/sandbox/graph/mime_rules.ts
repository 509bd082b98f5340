// What the imitated Graph reads in a MIME message: whether Exchange would accept it, and its recipients.
// Addresses are read by postal-mime and not by the relay's own parser, so that mistakes of the latter
// show.

import { Buffer } from "node:buffer";
import { addressParser } from "postal-mime";
import type { Address } from "postal-mime";
import { decodeBase64 } from "./body.ts";
import { type Refusal, refusal } from "./refusals.ts";

/** The message in the body of a request in MIME mode. */
export function decodeMime(contentType: string | undefined, body: Buffer): Buffer | Refusal {
  if (!/^text\/plain\b(?!-)/i.test(contentType ?? "")) {
    return refusal(400, "BadRequest", "Unable to read JSON request payload.");
  }
  const raw = decodeBase64(body.toString("latin1"));
  if (raw === undefined) {
    return refusal(
      400,
      "ErrorMimeContentInvalidBase64String",
      "Invalid base64 string for MIME content.",
    );
  }
  // Exchange misreads bare line feeds and returns the mail later (NDR 550 5.6.11): refused here directly.
  for (let i = raw.indexOf(10); i >= 0; i = raw.indexOf(10, i + 1)) {
    if (raw[i - 1] !== 13) {
      return refusal(400, "ErrorMimeContentInvalid", "The MIME content has a bare line feed.");
    }
  }
  return raw;
}

/**
 * The addresses that Exchange would send to: those of every To, Cc and Bcc in the message's header, each
 * once. It is an assumption that Exchange uses all fields if there are several of one name.
 */
export function recipientsOf(raw: Uint8Array): string[] | Refusal {
  const recipients = new Map<string, string>();
  for (const value of fieldsOf(raw, /^(?:to|cc|bcc)$/i)) {
    for (const mailbox of addressParser(value).flatMap(members)) {
      const address = mailbox.address ?? "";
      if (!/^[^@].*@[^@]+$/s.test(address)) {
        const shown = address || mailbox.name;
        return refusal(
          400,
          "ErrorInvalidRecipients",
          `At least one recipient isn't valid., Recipient '${shown}' is not resolved. ` +
            "All recipients must be resolved before a message can be submitted.",
        );
      }
      const folded = address.toLowerCase();
      if (!recipients.has(folded)) recipients.set(folded, address);
    }
  }
  if (recipients.size === 0) {
    return refusal(
      400,
      "ErrorInvalidRecipients",
      "At least one recipient isn't valid., " +
        "A message can't be sent because it contains no recipients.",
    );
  }
  return [...recipients.values()];
}

/**
 * Why Exchange refuses the sender. Seen with a printer that writes its address twice, as in
 * `a@x.test <a@x.test>`: with an unquoted at sign in a display name (which RFC 5322 §3.2.5 does not
 * allow), Exchange finds a sender other than the mailbox. Its other refusals are not imitated.
 */
export function senderRefusal(raw: Uint8Array): Refusal | undefined {
  if (!fieldsOf(raw, /^from$/i).some(hasBareAt)) return undefined;
  return refusal(
    403,
    "ErrorSendAsDenied",
    "The user account which was used to submit this request does not have the right to send mail " +
      "on behalf of the specified sending account., Cannot submit message.",
  );
}

/** Whether there is an at sign before an address in brackets, outside of quotes and comments. */
function hasBareAt(value: string): boolean {
  let quoted = false;
  let depth = 0;
  let found = false;
  for (let i = 0; i < value.length; i++) {
    const c = value[i]!;
    if (c === "\\" && (quoted || depth > 0)) i++;
    else if (quoted) quoted = c !== '"';
    else if (c === "(") depth++;
    else if (depth > 0) depth -= c === ")" ? 1 : 0;
    else if (c === '"') quoted = true;
    else if (c === "@") found = true;
    else if (c === "<" && found) return true;
    else if (c === "<") i = endOfBrackets(value, i);
    else if (c === ",") found = false;
  }
  return false;
}

function endOfBrackets(value: string, start: number): number {
  const end = value.indexOf(">", start);
  return end < 0 ? value.length : end;
}

/** The Message-ID as it is written, or undefined if there is none. */
export function messageIdIn(raw: Uint8Array): string | undefined {
  return fieldsOf(raw, /^message-id$/i).map((body) => body.trim()).find((body) => body !== "");
}

/** The bodies of fields of the header (RFC 5322 §2.2), unfolded. */
function fieldsOf(raw: Uint8Array, names: RegExp): string[] {
  const message = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  const end = message.indexOf("\r\n") === 0 ? 0 : message.indexOf("\r\n\r\n");
  return message.toString("utf8", 0, end < 0 ? message.length : end)
    .split(/\r\n(?![ \t])/)
    .flatMap((field) => {
      const [, name = "", body = ""] = /^([!-9;-~]+)[ \t]*:(.*)$/s.exec(field) ?? [];
      return names.test(name) ? [body.replaceAll("\r\n", "")] : [];
    });
}

function members(entry: Address): readonly Address[] {
  return entry.group ?? [entry];
}
