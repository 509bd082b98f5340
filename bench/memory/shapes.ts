// Messages that are nothing but one large attachment, in shapes that the relay treats differently.

import { Buffer } from "node:buffer";

export type Shape = "base64" | "base64 in one line" | "quoted-printable" | "binary" | "lone LFs";

export const SHAPES: readonly Shape[] = [
  "base64",
  "base64 in one line",
  "quoted-printable",
  "binary",
  "lone LFs",
];

/** Approximate octets of a block. */
const BLOCK = 240 * 1024;

/** The blocks of a message; between the first and the last, one block is repeated. */
export function* messageOf(shape: Shape, octets: number, number: number): Generator<Buffer> {
  const block = BLOCKS[shape]();
  const { type, encoding } = FIELDS[shape];
  const head = Buffer.from(
    `From: Sender ${number} <sender${number}@example.com>\r\nTo: <to@example.org>\r\n` +
      `Subject: ${shape}\r\nMIME-Version: 1.0\r\n` +
      'Content-Type: multipart/mixed; boundary="the=boundary"\r\n\r\n' +
      "--the=boundary\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n" +
      `--the=boundary\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n` +
      'Content-Disposition: attachment; filename="file"\r\n\r\n',
  );
  const tail = Buffer.from("\r\n--the=boundary--\r\n");
  yield head;
  for (let left = octets - head.length - tail.length; left > 0; left -= block.length) {
    // Whole lines, whose length divides the block's.
    yield left >= block.length ? block : block.subarray(0, left - left % LINE);
  }
  yield tail;
}

const FIELDS: Record<Shape, { readonly type: string; readonly encoding: string }> = {
  "base64": { type: "application/pdf", encoding: "base64" },
  "base64 in one line": { type: "application/pdf", encoding: "base64" },
  "quoted-printable": { type: "application/pdf", encoding: "quoted-printable" },
  "binary": { type: "application/pdf", encoding: "binary" },
  "lone LFs": { type: "text/plain; charset=utf-8", encoding: "8bit" },
};

const LINE = 78;
const LINES = Math.floor(BLOCK / LINE);

const BLOCKS: Record<Shape, () => Buffer> = {
  "base64": () => repeated(`${"QUJD".repeat(19)}\r\n`),
  "base64 in one line": () => Buffer.alloc(LINES * LINE, "QUJD"),
  "quoted-printable": () => repeated(`=C3=9F${"soft line break".repeat(5).slice(0, 69)}=\r\n`),
  // No dots: at the beginning of a line they would have to be doubled.
  "binary": () => Buffer.alloc(LINES * LINE, Uint8Array.of(0, 10, 13, 255, 65, 0, 128, 10)),
  "lone LFs": () => repeated("x\n".repeat(LINE / 2)),
};

function repeated(line: string): Buffer {
  return Buffer.from(line.repeat(LINES), "latin1");
}
