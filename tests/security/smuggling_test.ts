/**
 * SMTP smuggling through a whole relay, in both directions: the input is one message, and what is
 * handed on is one message to every server after it, however lax it is about line ends and dots.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import PostalMime from "postal-mime";
import { octets } from "../support/content.ts";
import { SEQUENCES } from "../smtp/smuggling_sequences.ts";
import { type Door, openDoor } from "./door.ts";

const FORGED = "MAIL FROM:<forged@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n" +
  "From: forged@example.com\r\nTo: victim@example.net\r\nSubject: forged\r\n\r\nForged text.";
const HEADER = "From: alice@example.com\r\nTo: bob@example.net\r\nSubject: harmless\r\n";

/** Where in a message the sequence and what follows it stand. */
const PLACES: Readonly<Record<string, (hidden: string) => string>> = {
  "in the text": (hidden) => `${HEADER}\r\nHarmless text.${hidden}`,
  "in a text of 8 bits": (hidden) =>
    `${HEADER}Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe.${hidden}`,
  "in a quoted-printable text": (hidden) =>
    `${HEADER}Content-Transfer-Encoding: quoted-printable\r\n\r\nText=2E${hidden}`,
  "in an attached message": (hidden) =>
    `${HEADER}Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nText${hidden}`,
  "in a signed text": (hidden) =>
    `${HEADER}Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nText${hidden}\r\n--b\r\n\r\n` +
    "sig\r\n--b--",
  "before the first part": (hidden) =>
    `${HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\nText${hidden}\r\n--b\r\n\r\nx\r\n--b--`,
  "in a part of no known encoding": (hidden) =>
    `${HEADER}Content-Transfer-Encoding: x-own\r\n\r\nText${hidden}`,
  "at the end of the header": (hidden) => `${HEADER}X-Last: field${hidden}`,
};

/** RFC 5321 §4.5.2, as the next SMTP sender must do it. */
function dotStuffed(message: string): string {
  return `\r\n${message}\r\n`.replaceAll("\r\n.", "\r\n..");
}

/** Ends of data of lax servers: each takes the one in the middle for a line of one dot. */
const LAX: readonly (readonly [name: string, end: RegExp])[] = [
  ["the standard's own", /\r\n\.\r\n/],
  ["LF for CRLF anywhere (Postfix, Sendmail, Exim before 2023-12)", /\n\.\r?\n/],
  ["CR for CRLF (Cisco Secure Email, CPython's smtpd)", /[\r\n]\.[\r\n]/],
  ["NULs that are dropped", /[\r\n]\0*\.\0*[\r\n]/],
  ["CR CR LF", /\r+\n\.\r+\n/],
];

function assertSafeOnward(message: string): void {
  assert.doesNotMatch(message, /\r(?!\n)|(?<!\r)\n/, "every line ends in CRLF (RFC 5321 §2.3.8)");
  const onward = dotStuffed(message);
  for (const [name, end] of LAX) assert.doesNotMatch(onward, end, name);
}

/** One message from Alice to Bob, for a reader like Exchange. */
async function assertOnlyBob(message: string): Promise<void> {
  const parsed = await PostalMime.parse(octets(message));
  const fields = parsed.headers.filter(({ key }) => /^(?:to|cc|bcc|from|sender)$/.test(key));
  for (const { key, value } of fields) {
    assert.doesNotMatch(value, /victim|forged/, `${key}: ${value}`);
  }
  assert.deepEqual(parsed.to?.map(({ address }) => address), ["bob@example.net"]);
  assert.equal(parsed.from?.address, "alice@example.com");
}

describe("SMTP smuggling", () => {
  let door: Door;
  before(async () => {
    door = await openDoor();
  });
  after(() => door.close());

  for (const [name, sequence] of Object.entries(SEQUENCES)) {
    it(`with ${name} makes no second message, neither here nor at the next server`, async () => {
      const before = door.messages().length;
      let expected = 0;
      const talk = await door.login();
      for (const [place, message] of Object.entries(PLACES)) {
        const content = message(`${sequence}${FORGED}`);
        // The dots are not doubled for DATA: they are meant as they are (§4.5.2).
        const stuffed = content.replace(/\r\n\.(?=\.)/g, "\r\n..");
        await talk.begin();
        talk.write(`${stuffed}\r\n.\r\n`);
        const byData = await talk.reply();
        await talk.say("MAIL FROM:<alice@example.com>");
        await talk.say("RCPT TO:<bob@example.net>");
        talk.write(`BDAT ${content.length} LAST\r\n${content}`);
        const byChunk = await talk.reply();
        await talk.assertSilent();
        for (const verdict of [byData, byChunk]) {
          // A header broken in its middle has no certain meaning: the message is refused.
          assert.match(verdict, place.includes("header") ? /^(?:250|554 5\.6\.0) / : /^250 /);
          if (verdict.startsWith("250")) expected++;
        }
      }
      const sent = door.messages().slice(before);
      assert.equal(sent.length, expected, "a message for each verdict");
      for (const message of sent) {
        assertSafeOnward(message);
        await assertOnlyBob(message);
      }
    });
  }

  it("by BDAT with the true end of data in a chunk makes no second message at the next server", async () => {
    const before = door.messages().length;
    const talk = await door.login();
    for (const message of Object.values(PLACES)) {
      const content = message(`\r\n.\r\n${FORGED}`);
      await talk.say("MAIL FROM:<alice@example.com>");
      await talk.say("RCPT TO:<bob@example.net>");
      talk.write(`BDAT ${content.length} LAST\r\n${content}`);
      assert.match(await talk.reply(), /^(?:250|554 5\.6\.0) /);
    }
    for (const message of door.messages().slice(before)) {
      assertSafeOnward(message);
      await assertOnlyBob(message);
    }
  });

  it("by chunks that split a sequence makes no second message at the next server", async () => {
    const talk = await door.login();
    for (const sequence of Object.values(SEQUENCES)) {
      const before = door.messages().length;
      const parts = [...sequence, FORGED];
      await talk.say("MAIL FROM:<alice@example.com>");
      await talk.say("RCPT TO:<bob@example.net>");
      const beginning = `${HEADER}\r\nText`;
      talk.write(`BDAT ${beginning.length}\r\n${beginning}`);
      assert.match(await talk.reply(), /^250 /);
      talk.write(
        parts.map((part) => `BDAT ${part.length}\r\n${part}`).join("") + "BDAT 0 LAST\r\n",
      );
      const verdicts = await talk.replies(parts.length + 1);
      assert.match(verdicts.at(-1)!, /^250 /);
      const [message, ...others] = door.messages().slice(before);
      assert.deepEqual(others, []);
      assertSafeOnward(message!);
    }
  });

  it("by a wrong chunk length has the rest read as commands (too short) or as content (too long)", async () => {
    // A chunk's length is what the client declares (RFC 3030 §2): its content is not examined.
    const talk = await door.login();
    await talk.say("MAIL FROM:<alice@example.com>");
    await talk.say("RCPT TO:<bob@example.net>");
    talk.write(`BDAT 8 LAST\r\nX: y\r\n\r\nRSET\r\n`);
    assert.match((await talk.replies(2)).join(" "), /^250 2\.0\.0 OK id=\w+ 250 2\.0\.0 OK$/);
    await talk.assertSilent();
  });
});
