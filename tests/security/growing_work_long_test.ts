/**
 * Work does not grow faster than untrusted input (CWE-407, CWE-1333): four times the octets take
 * about four times the time. If each line had all before it read again, or each mark were sorted in
 * among the others, they would take sixteen times as much, and 100 kB would block all other clients for half
 * a minute.
 *
 * Each reader gets three pieces of text, each many times, in every order, and two in turns: all of them once, to find those
 * that take longest for their size; these are then measured at two sizes.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { describe, it } from "node:test";
import { parseParameterized } from "../../src/message/parameters.ts";
import type { Content } from "../../src/smtp/content.ts";
import { envelope, OPTIONS, prepareMessage } from "../graph/preparing.ts";
import { inARow, inTurns, pairs, triples } from "./hostile_pieces.ts";
import { READERS, readMessage } from "./hostile_readers.ts";

/** Octets of a text by which the slowest ones are found. */
const SMALL = 3000;
/** Of those that are measured; the longer one is within MAX_HEADER_SIZE. */
const SHORT = 12_000;
const GROWTH = 4;
/** The ratio to the short one from which time is not proportional: between 4 and 16. */
const TOO_MUCH = 9;
/** Milliseconds below which times are irrelevant, and noise. A header takes about ten. */
const NOTICEABLE = 60;
const SLOWEST = 3;

/** Milliseconds, of time and of this process's work whichever is less, the best of some tries. */
function timeOf(action: () => unknown, tries: number): number {
  let best = Infinity;
  for (let i = 0; i < tries; i++) {
    const cpu = process.cpuUsage();
    const begun = performance.now();
    action();
    const took = performance.now() - begun;
    const { user, system } = process.cpuUsage(cpu);
    best = Math.min(best, took, (user + system) / 1000);
  }
  return best;
}

/**
 * @param textOf so many octets of the same
 * @param size of the shorter one
 * @param noticeable milliseconds
 */
function assertInProportion<T>(
  what: string,
  read: (text: T) => unknown,
  textOf: (octets: number) => T,
  size = SHORT,
  noticeable = NOTICEABLE,
): void {
  const long = textOf(GROWTH * size);
  const short = textOf(size);
  let factor = Infinity;
  let took = Infinity;
  // What is slow is slow every time; what only seems slow on a busy machine is not.
  for (let tries = 0; tries < 3 && took > noticeable && factor > TOO_MUCH; tries++) {
    took = Math.min(took, timeOf(() => read(long), 1));
    if (took > noticeable) factor = Math.min(factor, took / timeOf(() => read(short), 2));
  }
  assert.ok(
    took <= noticeable || factor <= TOO_MUCH,
    `${what}: ${GROWTH} times as long takes ${factor.toFixed(1)} times the time, ${took} ms`,
  );
}

describe("untrusted input", () => {
  for (const { name, pieces, read } of READERS) {
    it(`takes time in proportion to its size, whatever three pieces it repeats: ${name}`, () => {
      const texts = [
        ...triples(pieces).map((some) => ({ some, textOf: inARow })),
        ...pairs(pieces).map((some) => ({ some, textOf: inTurns })),
      ];
      const measured = texts.map(({ some, textOf }) => {
        const text = textOf(some, SMALL);
        return { some, textOf, text, took: timeOf(() => read(text), 1) };
      });
      const slow = measured.sort((one, other) => other.took - one.took).slice(0, 10 * SLOWEST)
        .map((one) => ({ ...one, took: timeOf(() => read(one.text), 2) }))
        .sort((one, other) => other.took - one.took).slice(0, SLOWEST);
      for (const { some, textOf } of slow) {
        assertInProportion(
          `${textOf.name} ${JSON.stringify(some)}`,
          read,
          (octets) => textOf(some, octets),
        );
      }
    });
  }
});

const HEAD = "From: me@x.test\r\nTo: a@x.test\r\n";
/** Combining marks in descending class, which NFC sorts (UAX #15); an octet is a character. */
const marks = (octets: number) => inARow(["\xcd\x85", "\xcc\x81", "\xcc\xa7", "\xcc\xb4"], octets);

const KNOWN: Readonly<Record<string, (octets: number) => string>> = {
  "an encoding's field of many lines, and many lines that are no fields": (octets) =>
    `${HEAD}Content-Transfer-Encoding: base64\r\n` +
    `${inARow([" \r\n x\r\n", "!\r\n"], octets)}\r\nQUJD\r\n`,
  "many such fields, each with a line that is no field": (octets) =>
    `${HEAD}${inARow(["Content-Transfer-Encoding: base64\r\n x\r\n!\r\n"], octets)}\r\nQUJD\r\n`,
  "marks in a recipient's local part": (octets) =>
    `From: me@x.test\r\nTo: a${marks(octets)}@x.test\r\n\r\n`,
  "marks in a recipient's domain": (octets) =>
    `From: me@x.test\r\nTo: a@x${marks(octets)}.test\r\n\r\n`,
  "marks in an address in brackets": (octets) =>
    `From: me@x.test\r\nTo: A <a${marks(octets)}@x.test>\r\n\r\n`,
  "marks in the author's address": (octets) =>
    `From: a${marks(octets)}@x.test\r\nTo: a@x.test\r\n\r\n`,
  "marks in the author's name, which has an at sign": (octets) =>
    `From: a${marks(octets)}@x.test <me@x.test>\r\nTo: a@x.test\r\n\r\n`,
  "words and encoded words in the author's name": (octets) =>
    `From: ${inTurns(["~", "=?utf-8?q?a?="], octets)} <me@x.test>\r\nTo: a@x.test\r\n\r\n`,
  "words and encoded words in Sender": (octets) =>
    `${HEAD}Sender: ${inTurns([")", "=?utf-8?q?a?="], octets)}\r\n\r\n`,
  "marks in Sender": (octets) => `${HEAD}Sender: a${marks(octets)}@x.test\r\n\r\n`,
  "marks in a member of a group": (octets) =>
    `From: me@x.test\r\nCc: G: a@x.test, a${marks(octets)}@x.test;\r\n\r\n`,
};

const MEGABYTES = 4_000_000;
/** Milliseconds for 16 MB: half of a second is usual. */
const MESSAGE_NOTICEABLE = 1200;
/** Octets of a piece as it comes from a socket, the smallest that stays one. */
const PIECE = 2048;

describe("a message made to be slow", () => {
  for (const [what, textOf] of Object.entries(KNOWN)) {
    it(`is read in time that is in proportion to its size: ${what}`, () => {
      assertInProportion(what, (text) => readMessage(text), textOf);
      assertInProportion(
        `${what}, with an address of the account's own`,
        (text) => readMessage(text, { fromEmail: "me@x.test" }),
        textOf,
      );
    });
  }

  for (const hostile of ['"*0=', 'x="a;', 'x="\\"']) {
    it(`has parameters that take not much more time than honest ones: ${hostile}`, () => {
      const OCTETS = 240_000;
      const read = (piece: string) => parseParameterized(`a; b=${inARow([piece], OCTETS)}`);
      const took = timeOf(() => read(hostile), 3);
      const honest = timeOf(() => read('x="a";'), 3);
      assert.ok(took <= NOTICEABLE || took <= 50 * honest, `${took} ms, and ${honest} ms`);
    });
  }

  it("is read in time that is in proportion to its size: carriage returns in many pieces", () => {
    assertInProportion(
      "carriage returns",
      (content: Content) => prepareMessage(content, envelope(["a@x.test"]), OPTIONS),
      (octets) => [
        Buffer.from(`${HEAD}\r\n`),
        ...Array.from({ length: octets / PIECE }, () => Buffer.alloc(PIECE, "\r")),
      ],
      MEGABYTES,
      MESSAGE_NOTICEABLE,
    );
  });
});
