// SMTP smuggling (CVE-2023-51764, -51765, -51766): no sequence but CRLF "." CRLF ends the data of
// a message, so the relay reads no second message in content that was one message to the server before it.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { type Driver, driverIn } from "./driver.ts";
import { SEQUENCES } from "./smuggling_sequences.ts";

const FORGED_COMMANDS = [
  "MAIL FROM:<forged@example.com>",
  "RCPT TO:<victim@example.net>",
  "DATA",
  "Subject: forged",
  "",
  "Forged text.",
];

/** Octets, as Latin-1, that a client sends for a message which hides a second one. */
function smuggled(sequence: string, lineEnd: string): string {
  return "Subject: harmless\r\n\r\nHarmless text." + sequence + FORGED_COMMANDS.join(lineEnd) +
    "\r\n.\r\n";
}

/** RFC 5321 §4.5.2, for a whole message: the end comes off, and a dot after every CRLF. */
function expectedContent(message: string): string {
  return ("\r\n" + message.slice(0, -".\r\n".length)).replaceAll("\r\n.", "\r\n").slice(2);
}

/** Every way to cut the octets in two, all of them in one segment, and each on its own. */
function* segmentations(octets: Uint8Array): Generator<readonly number[]> {
  for (let cut = 0; cut < octets.length; cut++) yield [cut];
  yield octets.subarray(1).keys().map((index) => index + 1).toArray();
}

function assertOneMessage(driver: Driver, content: string): void {
  driver.feed("NOOP\r\n");
  assert.equal(driver.replies, "250 2.0.0 Accepted as 1\r\n250 2.0.0 OK\r\n");
  assert.equal(driver.submissions.length, 1);
  assert.deepEqual(driver.submissions[0]!.envelope, {
    from: "alice@example.com",
    recipients: ["bob@example.net"],
  });
  assert.equal(driver.submissions[0]!.content, content);
}

describe("a message's data ends at CRLF.CRLF only (RFC 5321 §4.1.1.4)", () => {
  for (const [name, sequence] of Object.entries(SEQUENCES)) {
    it(`takes ${name} and the commands after it for content, however it is cut up`, () => {
      for (const lineEnd of ["\r\n", "\n", "\r"]) {
        const message = smuggled(sequence, lineEnd);
        const content = expectedContent(message);
        assert.ok(content.includes(FORGED_COMMANDS.join(lineEnd)));
        const octets = Buffer.from(message, "latin1");
        for (const cuts of segmentations(octets)) {
          const driver = driverIn("in DATA");
          driver.feedCut(octets, cuts);
          assertOneMessage(driver, content);
        }
      }
    });

    it(`runs no command after ${name} if the message is too big`, () => {
      const octets = Buffer.from(smuggled(sequence, "\r\n"), "latin1");
      for (const cuts of segmentations(octets)) {
        const driver = driverIn("in DATA", { maxMessageSize: 40 });
        driver.feedCut(octets, cuts);
        driver.feed("NOOP\r\n");
        assert.equal(
          driver.replies,
          "552 5.3.4 Message exceeds the maximum size\r\n250 2.0.0 OK\r\n",
        );
        assert.deepEqual(driver.submissions, []);
      }
    });

    it(`takes ${name} for content at the very beginning of the data`, () => {
      const message = sequence + FORGED_COMMANDS.join("\r\n") + "\r\n.\r\n";
      const octets = Buffer.from(message, "latin1");
      for (const cuts of segmentations(octets)) {
        const driver = driverIn("in DATA");
        driver.feedCut(octets, cuts);
        assertOneMessage(driver, expectedContent(message));
      }
    });
  }

  it("ends the data at CRLF.CRLF also after a stray CR or LF", () => {
    for (const stray of ["\r", "\n", "\n\r", "\r\r", "\r\n", "\r\n.\r", "\n.\n", "\0"]) {
      const octets = Buffer.from(`Text.${stray}\r\n.\r\n`, "latin1");
      for (const cuts of segmentations(octets)) {
        const driver = driverIn("in DATA");
        driver.feedCut(octets, cuts);
        assertOneMessage(driver, expectedContent(`Text.${stray}\r\n.\r\n`));
      }
    }
  });

  it("answers the commands after the true end, and only those", () => {
    const message = smuggled("\n.\r\n", "\r\n");
    const octets = Buffer.from(message + "RSET\r\nMAIL FROM:<carol@example.com>\r\n", "latin1");
    for (const cuts of segmentations(octets)) {
      const driver = driverIn("in DATA");
      driver.feedCut(octets, cuts);
      assert.equal(
        driver.replies,
        "250 2.0.0 Accepted as 1\r\n250 2.0.0 OK\r\n250 2.1.0 Sender OK\r\n",
      );
      assert.equal(driver.submissions.length, 1);
    }
  });
});

describe("a chunk ends by its length only (RFC 3030 §2)", () => {
  it("takes CRLF.CRLF, and each of the sequences, for content", () => {
    for (const sequence of ["\r\n.\r\n", ...Object.values(SEQUENCES)]) {
      const content = smuggled(sequence, "\r\n");
      const octets = Buffer.from(`BDAT ${content.length} LAST\r\n${content}`, "latin1");
      for (const cuts of segmentations(octets)) {
        const driver = driverIn("after RCPT");
        driver.feedCut(octets, cuts);
        assertOneMessage(driver, content);
      }
    }
  });
});
