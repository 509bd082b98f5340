// The Message-ID that a message is sent with: its own, or the one that the relay adds.

import type { Content } from "../smtp/content.ts";
import { type HeaderField, isEmpty, readHeader } from "./header.ts";
import type { LazyContent } from "./lazy_piece.ts";
import { messageId, type Trace } from "./received.ts";

/** Octets of a line without its line end (RFC 5322 §2.1.1); no identifier exceeds it. */
const MAX_LENGTH = 998;

/**
 * @param content with a regular header, such as a message that is ready to be sent
 * @returns the Message-ID with its angle brackets; undefined if the message has none, or if it has octets
 *   that RFC 5322 §2.2 does not allow, because no other system can search for it
 */
export function messageIdIn(content: LazyContent): string | undefined {
  const field = fieldIn(content);
  return field === undefined ? undefined : shownId(field);
}

/**
 * The Message-ID that a message gets.
 *
 * @param content as it was received
 * @param trace of the message
 * @returns undefined for one of its own that no other system can be asked for
 */
export function messageIdOf(
  content: Content,
  trace: Pick<Trace, "id" | "hostname">,
): string | undefined {
  const field = fieldIn(content);
  return field === undefined ? messageId(trace) : shownId(field);
}

function fieldIn(content: LazyContent): HeaderField | undefined {
  return readHeader(content).fields
    .find((one) => one.name === "message-id" && !isEmpty(one));
}

function shownId(field: HeaderField): string | undefined {
  const text = field.body.toString("latin1").replaceAll("\r\n", "").trim();
  if (text.length > MAX_LENGTH) return undefined;
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}
