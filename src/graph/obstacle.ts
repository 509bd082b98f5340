// Finds the part that keeps a message from being made small enough, and describes it for a reply.

import { givenName } from "./attachment_name.ts";
import { encodingText, fieldBody, fileNamesOf, type Part } from "../message/mime.ts";

/** The part that is the reason. */
export interface Obstacle {
  /**
   * `signed` and `encrypted`: the part must not be changed; `tnef`: Outlook's winmail.dat, which is
   * useless as a separate file; `body`: anything else.
   */
  readonly reason: "signed" | "encrypted" | "tnef" | "body";
  /** Such as `its text (text/html, 5000000 octets)`. */
  readonly part: string;
}

/**
 * @param remaining leaf parts that were not extracted
 * @param excess octets by which the message is still too large
 * @param header octets of the message's own header
 * @param isFull whether the maximum of parts was extracted
 */
export function obstacle(
  remaining: readonly Part[],
  excess: number,
  header: number,
  isFull: boolean,
): Obstacle {
  const [largest, ...others] = [...remaining].sort((one, other) => lengthOf(other) - lengthOf(one));
  const single = [largest, ...others].find((part) =>
    part !== undefined && lengthOf(part) >= excess && reasonOf(part) !== "body"
  );
  if (single !== undefined) return { reason: reasonOf(single), part: described(single) };
  if (isFull) return { reason: "body", part: "more attachments than Exchange takes" };
  const isHeader = largest === undefined || lengthOf(largest) < header;
  return { reason: "body", part: isHeader ? `its header (${header} octets)` : described(largest) };
}

function reasonOf(part: Part): Obstacle["reason"] {
  return part.protection ?? (isTnef(part) ? "tnef" : "body");
}

/** [MS-OXTNEF]: Outlook's own format for text, properties and attachments of a message. */
export function isTnef(part: Part): boolean {
  return /^application\/(?:vnd\.)?ms-tnef$/.test(part.type) ||
    fileNamesOf(part).some((name) => /^win(?:mail)?\.dat$/i.test(name.trim()));
}

function described(part: Part): string {
  const { type, kind, protection } = part;
  const name = givenName(part)?.slice(0, 60);
  const size = `${name === undefined ? "" : `"${name}", `}${type}, ${lengthOf(part)} octets`;
  if (protection !== undefined) return `a part that is ${protection} (${size})`;
  if (isTnef(part)) return `winmail.dat (${size})`;
  if (kind === "opaque") return `a part that is malformed (${size})`;
  if (part.encoding === undefined) {
    const given = encodingText(fieldBody(part, "content-transfer-encoding") ?? "").slice(0, 40);
    return `a part in an unknown Content-Transfer-Encoding, "${given}" (${size})`;
  }
  return type.startsWith("text/") ? `its text (${size})` : `a part of the text (${size})`;
}

/** Octets of a part's body, not decoded. */
export function lengthOf({ bodyStart, bodyEnd }: Part): number {
  return bodyEnd - bodyStart;
}
