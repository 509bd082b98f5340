// Converts a message for Exchange: its octets to a form that Exchange does not change, and its
// header to name exactly the envelope's recipients and the sender, because Exchange has no
// envelope.

import type { Content } from "../smtp/content.ts";
import type { Envelope } from "../smtp/effects.ts";
import { canonical } from "./canonical.ts";
import { removal } from "../message/edits.ts";
import { forwardPaths } from "../message/forward_paths.ts";
import { readHeader } from "../message/header.ts";
import type { LazyContent } from "../message/lazy_piece.ts";
import { originator, type SenderOverride } from "../message/originator.ts";
import {
  fieldsIn,
  type MessageLimits,
  readMessage,
  type Rejected,
  structureRejection,
  traceFields,
  withHeader,
} from "../message/prepare.ts";
import type { Trace } from "../message/received.ts";
import { recipientEdits } from "./recipient_fields.ts";

export interface ExchangeOptions {
  readonly trace: Trace;
  readonly account: SenderOverride;
  /** Quoted-printable leaf parts become base64. */
  readonly reencodeQuotedPrintable: boolean;
  /** Default: `MESSAGE_LIMITS`. */
  readonly limits?: MessageLimits;
}

export interface ExchangeMessage {
  readonly type: "prepared";
  /** Made from the given content, which must not be discarded before. */
  readonly content: LazyContent;
  /** The mailbox to send from. */
  readonly sender: string;
}

/**
 * Converts the octets (see {@link canonical}), makes the header name exactly the envelope's
 * recipients and the sender, puts a Received field on top (RFC 5321 §4.4) and adds a missing Date
 * or Message-ID (RFC 6409 §8). All other octets stay.
 */
export function exchangeMessage(
  content: Content,
  envelope: Envelope,
  { trace, account, reencodeQuotedPrintable, limits }: ExchangeOptions,
): ExchangeMessage | Rejected {
  const readable = readMessage(content, limits);
  if (readable.type === "rejected") return readable;
  const excess = structureRejection(readable, limits);
  if (excess !== undefined) return excess;
  const message = canonical(readable.content, { reencodeQuotedPrintable });
  const header = message === readable.content ? readable.header : readHeader(message);

  const fields = fieldsIn(header);
  const origin = originator(fields, envelope.from, account);
  if (origin.type === "rejected") return origin;
  const { sender } = origin;
  const paths = forwardPaths(envelope.recipients, sender);
  if ("type" in paths) return paths;
  const recipients = recipientEdits(fields, paths);

  const added = traceFields(fields, trace) + origin.added + recipients.bcc;
  const edits = [...origin.edits, ...recipients.edits, ...fields.removed.map(removal)];
  const prepared = withHeader(message, header, added, edits, limits);
  return "type" in prepared ? prepared : { type: "prepared", content: prepared, sender };
}
