// The messages of the soak: each says which one it is and what it holds, so that the cloud can see
// whether it has come as it was sent.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/** Octets of a message or of its attachment. */
export interface Size {
  readonly octets: number;
  readonly attached: boolean;
}

/** Most are small; some go by a draft, a few by an upload session (3 MB and more). */
export function sizeFor(random: () => number): Size {
  const chance = random();
  if (chance < 0.003) return { octets: 3_200_000 + Math.floor(random() * 500_000), attached: true };
  if (chance < 0.03) return { octets: 200_000 + Math.floor(random() * 200_000), attached: true };
  if (chance < 0.15) return { octets: 10_000 + Math.floor(random() * 60_000), attached: false };
  return { octets: 100 + Math.floor(random() * 3_000), attached: false };
}

/** The content with CRLF as line ends, not yet dot-stuffed. */
export function contentOf(number: number, from: string, to: string, size: Size): Buffer {
  const common = `From: <${from}>\r\nTo: <${to}>\r\nSubject: soak ${number}\r\n` +
    `Date: Mon, 02 Nov 2026 08:00:00 +0000\r\nMessage-ID: <${number}@soak.example>\r\n`;
  if (!size.attached) {
    const text = textOf(number, size.octets);
    return Buffer.from(`${common}X-Soak: ${number} ${sha256(text)}\r\n\r\n${text}`, "latin1");
  }
  const octets = Buffer.alloc(size.octets, `${number} and so on; `);
  const sum = sha256(octets);
  const base64 = octets.toString("base64").replace(/.{76}/g, "$&\r\n");
  return Buffer.from(
    `${common}X-Soak: ${number} ${sum}\r\nMIME-Version: 1.0\r\n` +
      'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nSee the file.\r\n--b\r\n' +
      `Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n` +
      `Content-Disposition: attachment; filename="${sum}"\r\n\r\n${base64}\r\n--b--\r\n`,
    "latin1",
  );
}

/** Lines, some of which begin with dots (RFC 5321 §4.5.2). */
function textOf(number: number, octets: number): string {
  const lines: string[] = [];
  for (let length = 0, at = 0; length < octets; at++) {
    const dots = ".".repeat((number + at) % 5 === 0 ? 1 + at % 2 : 0);
    const line = `${dots}Message ${number}, line ${at}\r\n`;
    lines.push(line);
    length += line.length;
  }
  return lines.join("");
}

/** As DATA wants it, with the final dot. */
export function dotStuffed(content: Buffer): Buffer {
  const text = content.toString("latin1").replace(/^\./gm, "..");
  return Buffer.from(`${text}.\r\n`, "latin1");
}

function sha256(octets: string | Buffer): string {
  const hash = createHash("sha256");
  return (typeof octets === "string" ? hash.update(octets, "latin1") : hash.update(octets))
    .digest("hex");
}
