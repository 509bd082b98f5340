// Reads the Message-ID that a message is sent with.

import { isEmpty, readHeader } from "./header.ts";
import type { LazyContent } from "./lazy_piece.ts";

/** Octets of a line without its line end (RFC 5322 §2.1.1); no identifier exceeds it. */
const MAX_LENGTH = 998;

/**
 * @param content with a regular header, such as a message that is ready to be sent
 * @returns with its angle brackets; undefined if there is none, or one with other octets than RFC 5322 §2.2
 *   allows, which no other system can be asked for
 */
export function messageIdIn(content: LazyContent): string | undefined {
  const { fields } = readHeader(content);
  const field = fields.find((one) => one.name === "message-id" && !isEmpty(one));
  const text = field?.body.toString("latin1").replaceAll("\r\n", "").trim();
  if (text === undefined || text.length > MAX_LENGTH) return undefined;
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}
