/** Messages with large attachments, made of few octets that are used again and again. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Content } from "../../src/smtp/content.ts";

export interface LargeFile {
  readonly name: string;
  readonly contentType: string;
  /** Octets. */
  readonly size: number;
  /** Makes it an inline image. */
  readonly contentId?: string;
}

/** Octets in a line of base64 with 76 characters (RFC 2045 §6.8). */
const LINE = 57;
const BLOCK = LINE * 1024;
/** So many, that ranges of an upload that are mixed up show. */
const BLOCKS = 17;

interface Block {
  readonly octets: Buffer;
  readonly lines: Buffer;
}

const blocks: Block[] = [];

function block(index: number): Block {
  return blocks[index % BLOCKS] ??= (() => {
    const octets = Buffer.alloc(BLOCK);
    // A xorshift generator: any octets, and the same each time.
    let state = 0x9e3779b9 ^ (index % BLOCKS + 1);
    for (let at = 0; at < BLOCK; at++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      octets[at] = state;
    }
    return { octets, lines: inLines(octets) };
  })();
}

function inLines(octets: Buffer): Buffer {
  const text = octets.toString("base64").replace(/.{76}(?=.)/g, "$&\r\n");
  return Buffer.from(text === "" ? "" : `${text}\r\n`, "latin1");
}

/** The decoded octets of a file. */
export function* octetsOf({ size }: Pick<LargeFile, "size">): Generator<Buffer> {
  for (let at = 0, index = 0; at < size; at += BLOCK, index++) {
    yield block(index).octets.subarray(0, size - at);
  }
}

export function sha256Of(file: Pick<LargeFile, "size">): string {
  const hash = createHash("sha256");
  for (const piece of octetsOf(file)) hash.update(piece);
  return hash.digest("hex");
}

/** A message of a text, inline images in multipart/related, and attachments in multipart/mixed. */
export function largeMessage(files: readonly LargeFile[]): Content {
  const content: Buffer[] = [];
  const write = (text: string) => void content.push(Buffer.from(text, "utf8"));
  const inline = files.filter(({ contentId }) => contentId !== undefined);
  const attached = files.filter(({ contentId }) => contentId === undefined);
  write(
    "From: Ann <ann@x.test>\r\nTo: bea@x.test\r\nSubject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\n" +
      "Message-ID: <large@x.test>\r\nDate: Thu, 05 Nov 2026 06:07:08 +0000\r\n" +
      'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="mixed"\r\n\r\n' +
      '--mixed\r\nContent-Type: multipart/related; boundary="related"\r\n\r\n' +
      "--related\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Look at these.</p>\r\n" +
      inline.map(({ contentId }) => `<img src="cid:${contentId}">\r\n`).join(""),
  );
  const add = (boundary: string, { name, contentType, size, contentId }: LargeFile) => {
    const id = contentId === undefined ? "" : `Content-ID: <${contentId}>\r\n`;
    write(
      `--${boundary}\r\nContent-Type: ${contentType}\r\nContent-Transfer-Encoding: base64\r\n${id}` +
        `Content-Disposition: ${contentId === undefined ? "attachment" : "inline"};\r\n` +
        ` filename*=utf-8''${encodeURIComponent(name)}\r\n\r\n`,
    );
    for (let at = 0, index = 0; at < size; at += BLOCK, index++) {
      const { octets, lines } = block(index);
      content.push(size - at >= BLOCK ? lines : inLines(octets.subarray(0, size - at)));
    }
  };
  for (const file of inline) add("related", file);
  write("--related--\r\n");
  for (const file of attached) add("mixed", file);
  write("--mixed--\r\n");
  return content;
}

export function sizeOf(content: Content): number {
  return content.reduce((sum, { length }) => sum + length, 0);
}

/** Files for a message of about so many octets: one inline, one under 3 MB, one over. */
export function filesFor(octets: number): LargeFile[] {
  const all = Math.floor(octets * LINE / 78);
  const image = Math.min(2_100_000, Math.floor(all * 0.05));
  const small = Math.min(2_400_000, Math.floor(all * 0.05));
  return [
    { name: "Bild 1.png", contentType: "image/png", size: image, contentId: "bild1@x.test" },
    {
      name: "Prüfbericht 日本.pdf",
      contentType: "application/pdf",
      size: all - image - small - 999,
    },
    { name: "daten 😀.zip", contentType: "application/zip", size: small },
  ];
}
