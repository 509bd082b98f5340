/**
 * Injected fields: what a reader of the header could be made to see that the envelope or the
 * account does not allow. Exchange sends a message to the recipients that it finds in the header.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import PostalMime, { addressParser } from "postal-mime";
import { octets } from "../support/content.ts";
import { recipientsOf } from "../graph/graph_reading.ts";
import { USERNAME } from "../support/logins.ts";
import { type Door, openDoor } from "./door.ts";

const TO = "To: bob@example.net\r\n";
const FROM = "From: alice@example.com\r\n";
const BCC = "Bcc: victim@example.org\r\n";
const END = "Subject: s\r\n\r\nText";

interface Attack {
  readonly source: string;
  readonly what: string;
  readonly message: string;
  /** The expected result; `either` when both are correct. */
  readonly verdict: "sent" | "refused" | "either";
}

const ATTACKS: readonly Attack[] = [
  // A Bcc that some readers see and others do not.
  { source: "RFC 5322 §2.2", what: "a Bcc", message: FROM + TO + BCC + END, verdict: "sent" },
  {
    source: "RFC 5322 §4.5.3",
    what: "a Bcc with white space before its colon",
    message: `${FROM}${TO}Bcc : victim@example.org\r\n${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §2.2.3",
    what: "a Bcc that continues a line of white space (obs-fold)",
    message: `${FROM}${TO}Subject: s\r\n \r\nBcc: victim@example.org\r\n\r\nText`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §4.2",
    what: "a Bcc folded after its colon",
    message: `${FROM}${TO}Bcc:\r\n victim@example.org\r\n${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §2.1",
    what: "a Bcc after a lone LF",
    message: `${FROM}${TO}Subject: s\nBcc: victim@example.org\r\n\r\nText`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §2.1",
    what: "a Bcc after a lone CR",
    message: `${FROM}${TO}Subject: s\rBcc: victim@example.org\r\n\r\nText`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §2.1",
    what: "a Bcc after CR CR LF",
    message: `${FROM}${TO}Subject: s\r\r\nBcc: victim@example.org\r\n\r\nText`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §2.1",
    what: "a Bcc after LF CR, which some readers take for an empty line",
    message: `${FROM}${TO}Subject: s\n\rBcc: victim@example.org\r\n\r\nText`,
    verdict: "either",
  },
  {
    source: "RFC 5322 §2.2",
    what: "a Bcc after a NUL",
    message: `${FROM}${TO}Subject: s\r\n\0Bcc: victim@example.org\r\n\r\nText`,
    verdict: "either",
  },
  {
    source: "RFC 5322 §2.2",
    what: "a NUL in the name of the Bcc",
    message: `${FROM}${TO}B\0cc: victim@example.org\r\n${END}`,
    verdict: "either",
  },
  {
    source: "RFC 5322 §2.2",
    what: "a NUL after the name of the Bcc",
    message: `${FROM}${TO}Bcc\0: victim@example.org\r\n${END}`,
    verdict: "either",
  },
  {
    source: "RFC 5322 §2.2",
    what: "a Bcc after a line that is no field",
    message: `${FROM}${TO}This is no field\r\n${BCC}${END}`,
    verdict: "refused",
  },
  {
    source: "RFC 5322 §2.2",
    what: "a Bcc that continues a line that is no field",
    message: `${FROM}${TO}X Mailer: x\r\n\tBcc: victim@example.org\r\n${BCC}${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §2.2",
    what: "a Bcc with letters that look like it",
    message: `${FROM}${TO}\xd0\x92cc: victim@example.org\r\n${END}`,
    verdict: "either",
  },
  {
    source: "RFC 4155",
    what: "a Bcc after mailbox lines",
    message: `From evil Mon Nov 23 20:27:56 2026\r\n>From evil\r\n${BCC}${FROM}${TO}${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 3629 §6",
    what: "a byte order mark before the Bcc",
    message: `\xef\xbb\xbf${BCC}${FROM}${TO}${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §2.1.1",
    what: "a Bcc after a line of 100,000 octets",
    message: `${FROM}${TO}X: ${"x ".repeat(50_000)}\r\n${BCC}${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §2.1.1",
    what: "a Bcc 998 octets into a line, where some readers cut it",
    message: `${FROM}${TO}X:${" ".repeat(996)}Bcc: victim@example.org\r\n${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §3.6",
    what: "a second To and a second Bcc",
    message: `${FROM}${TO}To: victim@example.org\r\n${BCC}Bcc: bob@example.net\r\n${BCC}${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §3.6.6",
    what: "Resent-To, -Cc and -Bcc",
    message: `${FROM}${TO}Resent-Bcc: victim@example.org\r\n${END}`,
    verdict: "sent",
  },
  // Addresses that some readers read differently.
  {
    source: "RFC 5322 §3.4",
    what: "a second address in the brackets of the first",
    message: `${FROM}To: <bob@example.net,victim@example.org>\r\n${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §4.4",
    what: "a route",
    message: `${FROM}To: <@victim.example.org:bob@example.net>\r\n${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 2047 §5",
    what: "an address in an encoded word",
    message: `${FROM}To: =?utf-8?Q?victim=40example.org=2C?= <bob@example.net>\r\n${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 2047 §5",
    what: "line end and Bcc in an encoded word",
    message: `${FROM}${TO}Subject: =?utf-8?Q?s=0D=0ABcc:_victim=40example.org?=\r\n\r\nText`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §3.2.2",
    what: "an address after a comment that some readers end early",
    message: `${FROM}To: bob@example.net (a (b) , victim@example.org)\r\n${END}`,
    verdict: "sent",
  },
  {
    source: "RFC 5322 §3.4",
    what: "an address after the end of a group",
    message: `${FROM}To: team: "x;" <bob@example.net>; victim@example.org\r\n${END}`,
    verdict: "sent",
  },
  // Boundary and header confusion.
  {
    source: "RFC 2046 §5.1.1",
    what: "a header in the preamble, a delimiter in the header",
    message: `${FROM}${TO}Content-Type: multipart/mixed; boundary=b\r\n--b\r\n${BCC}${END}`,
    verdict: "either",
  },
  {
    source: "CVE-2019-10740 and the like",
    what: "a Bcc in the header of a part and of an attached message",
    message:
      `${FROM}${TO}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n${BCC}\r\nText\r\n` +
      `--b\r\nContent-Type: message/rfc822\r\n\r\n${BCC}${END}\r\n--b--`,
    verdict: "sent",
  },
  // What readers take for the sender.
  {
    source: "RFC 5322 §3.6",
    what: "a second From",
    message: `${FROM}From: victim@example.org\r\n${TO}${END}`,
    verdict: "refused",
  },
  {
    source: "RFC 5322 §3.6",
    what: "a second From with white space before its colon",
    message: `${FROM}From : victim@example.org\r\n${TO}${END}`,
    verdict: "refused",
  },
  {
    source: "RFC 5322 §3.6",
    what: "a second From after a lone LF",
    message: `${FROM}X: y\nFrom: victim@example.org\r\n${TO}${END}`,
    verdict: "refused",
  },
  {
    source: "RFC 5322 §3.6",
    what: "a second Sender",
    message: `${FROM}Sender: alice@example.com\r\nSender: victim@example.org\r\n${TO}${END}`,
    verdict: "sent",
  },
];

/** Octets of the header without the empty line after it. */
function headerOf(message: string): string {
  return message.slice(0, message.indexOf("\r\n\r\n") + 2);
}

describe("a header that hides something", () => {
  let door: Door;
  before(async () => {
    door = await openDoor({ environment: { ALLOWED_SENDERS: "alice@example.com" } });
  });
  after(() => door.close());

  for (const { source, what, message, verdict } of ATTACKS) {
    it(`gives Exchange the recipients of the envelope alone: ${what} (${source})`, async () => {
      const before = door.messages().length;
      const talk = await door.login();
      const reply = await talk.message(message);
      const expected = { sent: /^250 /, refused: /^55[04] /, either: /^(?:250|55[04]) / }[verdict];
      assert.match(reply, expected);
      const sent = door.messages().slice(before);
      assert.equal(sent.length, reply.startsWith("250") ? 1 : 0);
      for (const mime of sent) {
        assert.deepEqual(await recipientsOf([octets(mime)]), ["bob@example.net"]);
        const header = headerOf(mime);
        // Each line is a field or continues one, and all readers agree where it ends.
        assert.match(
          header,
          /^(?:[!-9;-~]+:[^\r\n\0]*\r\n(?:[ \t]+[^ \t\r\n\0][^\r\n\0]*\r\n)*)+$/,
        );
        const names = [...header.matchAll(/^([!-9;-~]+):/gm)].map(([, name]) =>
          name!.toLowerCase()
        );
        for (const once of ["from", "sender", "to", "cc", "bcc", "date", "message-id"]) {
          assert.ok(names.filter((name) => name === once).length <= 1, `one ${once}`);
        }
        // No reader sees these as fields, however a line is cut.
        assert.doesNotMatch(header, /[\r\n\0](?:resent-)?bcc[ \t]*:[^\r\n]*victim/i);
        const { from, headers } = await PostalMime.parse(octets(mime));
        assert.equal(from?.address, "alice@example.com");
        const sender = headers.find(({ key }) => key === "sender")?.value ?? "alice@example.com";
        assert.equal(addressParser(sender)[0]?.address, "alice@example.com");
      }
    });
  }

  it("is not created by addresses of the envelope: quoted line ends, commas, brackets (RFC 5321 §4.1.2)", async () => {
    const talk = await door.login();
    assert.match(await talk.say("MAIL FROM:<alice@example.com>"), /^250 /);
    const addresses = [
      '"a\\\rBcc: victim@example.org"@example.net',
      '"a\x0bBcc: victim@example.org"@example.net',
      '"a,victim@example.org"@example.net',
      '"a> victim@example.org <b"@example.net',
      '"=?utf-8?q?victim=40example.org?="@example.net',
      "=?utf-8?q?victim=40example.org,?=@example.net",
      "bob@example.net,victim@example.org",
      "bob@example.net victim@example.org",
      "bob@example.net\tBcc:victim@example.org",
    ];
    for (const address of addresses) {
      const reply = await talk.say(`RCPT TO:<${address}>`);
      if (!reply.startsWith("250")) {
        assert.match(reply, /^5\d\d /);
        continue;
      }
      talk.write("DATA\r\n");
      assert.match(await talk.reply(), /^354 /);
      talk.write(`${FROM}${TO}${END}\r\n.\r\n`);
      assert.match(await talk.reply(), /^550 5\.1\.3 /, address);
      await talk.say("MAIL FROM:<alice@example.com>");
    }
    assert.ok(!door.messages().some((message) => message.includes("victim@example.net")));
  });
});

describe("the Received field (RFC 5321 §4.4)", () => {
  let door: Door;
  before(async () => {
    door = await openDoor();
  });
  after(() => door.close());

  const NAMES: Readonly<Record<string, string>> = {
    "with a comment that names another": "good.example (trusted.example [192.0.2.1])",
    "with the words of the field itself": "x by evil.example with ESMTPSA id 1; Mon",
    "with line ends in disguise": "x\\r\\nBcc: victim@example.org",
    "with CR in it": "x\rBcc: victim@example.org",
    "with an encoded word": "=?utf-8?q?=0D=0ABcc:_victim?=",
    "with letters of other scripts": "\xd0\xb5xample.com",
    "with octets that are no text": "\xff\xfe\x80\x9b31m",
    "of quotes, brackets and semicolons": '"<a@b>;(c)',
    "that is longer than a name can be": "x".repeat(490),
    "that is empty": "",
    "of an address literal": "[IPv6:::1]) (by evil",
  };
  for (const [how, name] of Object.entries(NAMES)) {
    it(`is one field, with the client's true address, for a HELO name ${how}`, async () => {
      for (const verb of ["EHLO", "HELO"]) {
        const before = door.messages().length;
        const talk = await door.connect();
        const greeted = await talk.say(`${verb} ${name}`);
        if (!greeted.startsWith("250")) {
          assert.match(greeted, /^500 5\.5\.2 /);
          continue;
        }
        assert.doesNotMatch(greeted, /evil|victim|trusted|xxx/, "no reply repeats it");
        assert.match(await talk.auth(USERNAME, "any secret"), /^235 /);
        assert.match(await talk.message(FROM + TO + END), /^250 /);
        const [mime] = door.messages().slice(before);
        assert.match(
          mime!,
          /^Received: from [\w.:[\]-]{1,255} \(\[127\.0\.0\.1\]\)\r\n\tby relay\.example with E?SMTPA? id \w+;\r\n\t\w+, \d+ \w+ \d+ [\d:]+ \+0000\r\n(?![ \t])/,
        );
        assert.doesNotMatch(headerOf(mime!), /^Bcc:/m);
      }
    });
  }

  it("stands above those of the client, which stay: no client can pass for the relay", async () => {
    const before = door.messages().length;
    const talk = await door.login();
    const fake = "Received: from bank.example ([198.51.100.1])\r\n" +
      "\tby relay.example with ESMTPSA id 0000000000000000;\r\n\tMon, 2 Nov 2026 00:00:00 +0000\r\n";
    await talk.message(fake + FROM + TO + END);
    const [mime] = door.messages().slice(before);
    assert.match(mime!, /^Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n/);
    assert.equal(mime!.indexOf(fake), mime!.indexOf("Received: from bank"));
    assert.ok(mime!.indexOf(fake) > 50);
  });
});
