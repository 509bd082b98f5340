// Pieces of text that make a reader work when repeated many times: what begins something, what
// ends it, what almost does. Also messages, responses and command lines made of three such pieces.

import { Buffer } from "node:buffer";

/** Lines of a header, valid and invalid. */
const LINES = [
  "a: b\r\n",
  " x\r\n",
  "!\r\n",
  "\r\n",
  "a\n",
  "\r",
  "To:\r\n",
  "From \r\n",
  "Content-Transfer-Encoding: base64\r\n",
  "Content-Type: multipart/mixed; boundary=b\r\n",
];
/** Parts of an address. NFC sorts each row of the marks by class. */
const ADDRESSES = [
  "a@b,",
  '"a"@b ',
  '\\"',
  "<",
  "(",
  "a:;",
  "@[",
  "\r\n ",
  "=?utf-8?q?a?=",
  octets("\u0345\u0327"),
  octets("\u0327"),
];
const PARAMETERS = ["a=b;", ' "', '\\"', "(", ";a*1*=%41", "'", "=?hz?q?a?=", "\r\n ", "\0", "/."];
const PARTS = ["--b\r\n", "--b", "--b-- \r\n", "-", "\r\n", "\n\n", "a: b\n", "\r", "=\n", " \0"];
const WORDS = ["a", " ", "\0", '"', "\\", "<a@b>", "=", "\r\n", octets("\u0327"), "\x01"];
const RESPONSES = ["a: b\r\n", "\r\n", "\r", "0\r\n", "1\r\na\r\n", ";", ":", "\0", "1", "\n"];

/** One character per octet of UTF-8. */
function octets(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

export const PIECES = { LINES, ADDRESSES, PARAMETERS, PARTS, WORDS, RESPONSES };

/** Each piece repeated, one after the other, so that all have equally many octets. */
export function inARow(pieces: readonly string[], length: number): string {
  const share = Math.floor(length / Math.max(1, pieces.length));
  return pieces.map((piece) => piece.repeat(Math.max(1, Math.floor(share / piece.length)))).join(
    "",
  );
}

/** Two pieces in turns. */
export function inTurns(pieces: readonly string[], length: number): string {
  const both = pieces.join("");
  return both.repeat(Math.max(1, Math.floor(length / both.length)));
}

/** Two out of these in every order. */
export function pairs(pieces: readonly string[]): string[][] {
  return pieces.flatMap((first) =>
    pieces.filter((second) => second !== first).map((second) => [first, second])
  );
}

/** Three out of these in every order, the same ones twice and three times among them. */
export function triples(pieces: readonly string[]): string[][] {
  return pieces.flatMap((first) =>
    pieces.flatMap((second) => pieces.map((third) => [first, second, third]))
  );
}
