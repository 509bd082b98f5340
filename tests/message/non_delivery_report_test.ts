/**
 * Non-delivery reports (RFC 3464, RFC 6522, RFC 6533), as independent readers see them: postal-mime,
 * mailparser and Python's email.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it, type TestContext } from "node:test";
import { simpleParser } from "mailparser";
import PostalMime from "postal-mime";
import { type FailedMessage, nonDeliveryReport } from "../../src/message/non_delivery_report.ts";
import { reply } from "../../src/smtp/reply.ts";
import { content, octets } from "../support/content.ts";
import { envelope, OPTIONS, prepareMessage } from "../graph/preparing.ts";
import { octetsIn } from "../../src/message/lazy_piece.ts";
import { asObject, type PythonReport, readReports } from "./readers/reports.ts";

const HEADER = "From: Ann <ann@x.test>\r\nTo: bea@x.test\r\nSubject: Monthly report\r\n" +
  "Message-ID: <original@x.test>\r\nContent-Type: text/plain\r\n";

const FAILED: FailedMessage = {
  id: "0123456789abcdef",
  envelope: { from: "ann@x.test", recipients: ["bea@x.test", "carl@y.test"] },
  content: content(`${HEADER}\r\nThe secret text\r\n`),
  mailbox: "printer@x.test",
  reply: reply(550, "5.7.1", "ErrorAccessDenied: the app may not send as this mailbox"),
  hostname: "relay.x.test",
  receivedAt: Date.parse("2026-11-05T06:07:08Z"),
  lastAttempt: Date.parse("2026-11-05T06:12:00Z"),
};

function build(changes: Partial<FailedMessage> = {}): Buffer {
  const report = nonDeliveryReport({ ...FAILED, ...changes });
  assert(report !== undefined);
  return Buffer.concat([...report]);
}

function withHeader(header: string): Partial<FailedMessage> {
  return { content: [octets(`${header}\r\n\r\nThe secret text\r\n`)] };
}

async function python(test: TestContext, report: Buffer): Promise<PythonReport | undefined> {
  const read = await readReports([report]);
  if (read === undefined) test.skip("there is no Python 3");
  return read?.[0];
}

/** The lines of the report's own header. */
function headerOf(report: Buffer): string[] {
  return report.toString("utf8").split("\r\n\r\n")[0]!.replaceAll("\r\n ", " ").split("\r\n");
}

const HEADER_LINES = [
  "Date: Thu, 5 Nov 2026 06:12:00 +0000",
  "From: Mail Delivery System <printer@x.test>",
  "To: <ann@x.test>",
  "Subject: Undelivered mail returned to sender",
  "Message-ID: <0123456789abcdef.report@relay.x.test>",
  "In-Reply-To: <original@x.test>",
  "References: <original@x.test>",
  "Auto-Submitted: auto-replied",
  "MIME-Version: 1.0",
];

describe("a non-delivery report", () => {
  it("goes from the mailbox to the reverse-path, as an answer of a program (RFC 3834 §5)", () => {
    const lines = headerOf(build());
    assert.deepEqual(lines.slice(0, -1), HEADER_LINES);
    assert.match(
      lines.at(-1)!,
      /^Content-Type: multipart\/report; report-type=delivery-status; boundary="=_[0-9a-f]{40}"$/,
    );
  });

  it("is the same for the same message, whenever it is built", () => {
    assert.deepEqual(build(), build());
  });

  it("has three parts to Python, without a defect", async (test) => {
    const read = await python(test, build());
    if (read === undefined) return;
    assert.deepEqual([read.type, read.reportType, read.defects], [
      "multipart/report",
      "delivery-status",
      [],
    ]);
    const [text, status, header] = read.parts;
    assert.equal(text![0], "text/plain");
    assert.match(String(text![1]), /^Subject: {2}Monthly report\n/m);
    assert.match(String(text![1]), /^To: {7}bea@x\.test\nTo: {7}carl@y\.test\n/m);
    assert.match(String(text![1]), /^550 5\.7\.1 ErrorAccessDenied: the app may not send/m);
    assert.equal(status![0], "message/delivery-status");
    const [message, ...recipients] = status![1] as readonly PythonReport["header"][];
    assert.deepEqual(asObject(message!), {
      "reporting-mta": "dns; relay.x.test",
      "arrival-date": "Thu, 5 Nov 2026 06:07:08 +0000",
    });
    assert.deepEqual(
      recipients.map(asObject),
      ["bea@x.test", "carl@y.test"].map((address) => ({
        "final-recipient": `rfc822; ${address}`,
        action: "failed",
        status: "5.7.1",
        "diagnostic-code":
          "smtp; 550 5.7.1 ErrorAccessDenied: the app may not send as this mailbox",
        "last-attempt-date": "Thu, 5 Nov 2026 06:12:00 +0000",
      })),
    );
    assert.deepEqual(header, ["text/rfc822-headers", HEADER.replaceAll("\r\n", "\n")]);
  });

  it("shows its text to postal-mime and mailparser, and is a report to them", async () => {
    const report = build();
    const postal = await PostalMime.parse(report, { attachmentEncoding: "utf8" });
    const mailparser = await simpleParser(report);
    for (const { text } of [postal, mailparser]) assert.match(text ?? "", /^550 5\.7\.1 Error/m);
    assert.equal(postal.from?.address, "printer@x.test");
    assert.equal(mailparser.from?.value[0]?.address, "printer@x.test");
    assert.deepEqual(postal.to?.map(({ address }) => address), ["ann@x.test"]);
    assert.equal(mailparser.inReplyTo, "<original@x.test>");
    const whole = JSON.stringify([postal, mailparser]);
    assert(!whole.includes("The secret text"), "the body is not returned");
  });

  it("passes through the relay as it is, by its From, with a null reverse-path", () => {
    const report = build();
    const sent = prepareMessage([report], envelope(["ann@x.test"], ""), OPTIONS);
    assert(sent.type === "prepared");
    assert.equal(sent.sender, "printer@x.test");
    const passed = Buffer.concat([...octetsIn(sent.content)]).toString("utf8");
    assert.equal(passed.slice(passed.indexOf("Date: ")), report.toString("utf8"));
  });

  it("tells a temporary failure that has lasted too long", async (test) => {
    const report = build({ reply: reply(451, "4.4.1", "ECONNREFUSED: Graph cannot be reached") });
    const read = await python(test, report);
    const fields = (read?.parts ?? [])[1]?.[1][1] as PythonReport["header"];
    if (read === undefined) return;
    assert.equal(asObject(fields)["status"], "4.4.1");
    assert.match(asObject(fields)["diagnostic-code"]!, /^smtp; 451 4\.4\.1 ECONN/);
  });

  it("has no identifier of the original if that has none, or one that is not regular", () => {
    const ids = ["", "Message-ID: none", "Message-ID: <a b@x.test>", "Message-ID: <a@x.test> <b@x>"]
      .concat(`Message-ID: <${"a".repeat(2000)}@x.test>`, "Message-ID: <\xe4@x.test>");
    for (const id of ids) {
      const lines = headerOf(build(withHeader(`From: ann@x.test\r\nX: y\r\n${id}`)));
      assert(!lines.some((line) => /^(?:In-Reply-To|References):/.test(line)), id);
    }
  });
});

describe("what must not be answered", () => {
  const HEADERS: readonly string[] = [
    "Auto-Submitted: auto-generated",
    "Auto-Submitted: auto-replied; x=y",
    "auto-submitted:\r\n (a comment) Auto-Notified",
    "Auto-Submitted: no\r\nAuto-Submitted: auto-generated",
    "Precedence: bulk",
    "Precedence: List",
    "Precedence: junk",
    "Content-Type: multipart/report; boundary=x",
    "CONTENT-TYPE: (x) Multipart/Report",
  ];
  for (const header of HEADERS) {
    it(`is a message with ${header.replaceAll("\r\n", " | ")}`, () => {
      const changes = withHeader(`From: ann@x.test\r\n${header}`);
      assert.equal(nonDeliveryReport({ ...FAILED, ...changes }), undefined);
    });
  }

  for (
    const header of ["Auto-Submitted: no", "Auto-Submitted: (x) No (auto)", "Precedence: normal"]
  ) {
    it(`is not a message with ${header}`, () => {
      build(withHeader(`From: ann@x.test\r\n${header}`));
    });
  }

  const ADDRESSES: readonly string[] = [
    "",
    "ann",
    "ann@x.test>\r\nBcc: <victim@y.test",
    "ann@x.test, victim@y.test",
    '"ann@x.test, victim"@y.test',
    "ann@x.test\0",
    "=?utf-8?q?ann=40x.test?=@y.test",
  ];
  for (const address of ADDRESSES) {
    it(`is a message of ${JSON.stringify(address)}`, () => {
      const { envelope } = FAILED;
      assert.equal(
        nonDeliveryReport({ ...FAILED, envelope: { ...envelope, from: address } }),
        undefined,
      );
      assert.equal(nonDeliveryReport({ ...FAILED, mailbox: address }), undefined);
    });
  }
});

describe("what is not ASCII", () => {
  const from = "gr\u00fc\u00dfe@b\u00fccher.test";

  it("makes the parts international ones (RFC 6533)", async (test) => {
    const header = `From: <${from}>\r\nSubject: Gr\u00fc\u00dfe\r\n`;
    const report = build({
      envelope: { from, recipients: ["b\u00f6b+x=y@x.test", '"a b"@x.test'] },
      content: [Buffer.from(`${header}\r\n`)],
    });
    assert(headerOf(report).includes(`To: <${from}>`));
    const read = await python(test, report);
    if (read === undefined) return;
    const [text, ...others] = read.parts;
    assert.match(
      String(text![1]),
      /^Subject: {2}Gr\u00fc\u00dfe\nReceived: .*\nId: .*\nTo: {7}b\u00f6b\+/m,
    );
    assert.deepEqual(others.map(([type]) => type), [
      "message/global-delivery-status",
      "message/global-headers",
    ]);
    const raw = report.toString("utf8");
    assert(raw.includes("Final-Recipient: utf-8; b\u00f6b\\x{2B}x\\x{3D}y@x.test\r\n"));
    assert(raw.includes('Final-Recipient: rfc822; "a b"@x.test\r\n'));
    assert(raw.includes(`\r\n\r\n${header}\r\n--=_`));
  });

  it("keeps octets that are not UTF-8 in base64", async (test) => {
    const header = "From: ann@x.test\r\nSubject: Gr\xfc\xdfe\r\n";
    const report = build({ content: [Buffer.from(`${header}\r\n`, "latin1")] });
    assert(report.every((octet) => octet < 128));
    assert(report.includes(Buffer.from(header, "latin1").toString("base64").slice(0, 60)));
    assert.equal(((await python(test, report))?.parts ?? [])[2]?.[0], "text/rfc822-headers");
  });

  it("in the subject is read as people would", () => {
    const report = build(withHeader("From: ann@x.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?="));
    const base64 = /base64\r\n\r\n([A-Za-z0-9+/=\r\n]+)\r\n--/.exec(report.toString())![1]!;
    assert.match(Buffer.from(base64, "base64").toString(), /^Subject: {2}Gr\u00fc\u00dfe\r$/m);
  });
});

describe("the returned header", () => {
  it("ends with a whole field, within 64 KiB", () => {
    const fields = Array.from({ length: 3000 }, (_, i) => `X-${i}: ${"y".repeat(40)}`);
    const report = build(withHeader(`From: ann@x.test\r\n${fields.join("\r\n")}`)).toString();
    const returned = /rfc822-headers\r\n.*\r\n\r\n([^]*)\r\n--=_/.exec(report)![1]!;
    assert(returned.length <= 64 * 1024 + 2 && returned.length > 64 * 1024 - 100);
    assert(returned.endsWith(`${"y".repeat(40)}\r\n`));
  });

  it("is left out if there is no field, or only one that is too long", async (test) => {
    for (
      const text of ["", "\r\nbody\r\n", "no header at all", `X: ${"y ".repeat(40_000)}\r\n\r\n`]
    ) {
      const read = await python(test, build({ content: [octets(text)] }));
      if (read === undefined) return;
      assert.equal(read.parts.length, 2);
      assert.deepEqual(read.defects, []);
    }
  });

  it("of a message without a readable one is what can be read", async (test) => {
    const broken = "From: ann@x.test\r\nSubject: x\r\nno field\r\nTo: bea@x.test\r\n\r\n";
    const read = await python(test, build({ content: [octets(broken)] }));
    if (read === undefined) return;
    assert.deepEqual(read.parts[2], [
      "text/rfc822-headers",
      "From: ann@x.test\nSubject: x\n",
    ]);
    const irregular = broken.replace("Subject: x", "Subject: x\0y");
    const report = build({ content: [octets(irregular)] });
    assert(!report.includes(0));
    const [, , header] = (await python(test, report))!.parts;
    assert.deepEqual(header, ["text/rfc822-headers", "From: ann@x.test\nSubject: x\0y\n"]);
  });
});

const STATUS_FIELDS =
  /^(?:reporting-mta|arrival-date|final-recipient|action|status|diagnostic-code|last-attempt-date)$/;

describe("hostile input", () => {
  const HOSTILE = [
    "\r\nBcc: victim@y.test",
    "\nBcc: victim@y.test",
    "\rBcc: victim@y.test",
    "\r\n\r\n--x\r\n",
    "\0\x07\x1b[31m",
    "\u2028Bcc: victim@y.test",
    "\u202egnp.exe",
    "\ud800",
    "a".repeat(5000),
    " ".repeat(5000),
  ];

  /** No reader finds a field or part that is not the report's own. */
  async function hold(test: TestContext, failures: readonly Partial<FailedMessage>[]) {
    const reports = failures.map(build);
    const usual = [...HEADER_LINES, "Content-Type:"].map((line) => line.split(":")[0]);
    for (const report of reports) {
      const text = report.toString("latin1");
      const names = headerOf(report).map((line) => line.split(":")[0]);
      assert.deepEqual(names.filter((name) => !usual.includes(name)), []);
      assert.equal(new Set(names).size, names.length);
      assert.doesNotMatch(text, /\r(?!\n)|(?<!\r)\n|\0/);
      for (const line of text.split("\r\n")) assert(line.length <= 998, line);
      const [postal, mailparser] = [await PostalMime.parse(report), await simpleParser(report)];
      assert.deepEqual([postal.bcc, mailparser.bcc], [undefined, undefined]);
    }
    const read = await readReports(reports);
    if (read === undefined) return test.skip("there is no Python 3");
    for (const { defects, parts } of read) {
      assert.deepEqual([defects, parts.length], [[], 3]);
      for (const [name] of (parts[1]![1] as readonly PythonReport["header"][]).flat()) {
        assert.match(name, STATUS_FIELDS);
      }
    }
  }

  it("adds nothing by the reply", async (test) => {
    await hold(test, HOSTILE.map((text) => ({ reply: reply(550, "5.0.0", `a${text}`) })));
    const enhanced = (text: string) => ({ code: 550, enhanced: `5.0.0${text}`, text: ["a", text] });
    await hold(test, HOSTILE.map((text) => ({ reply: enhanced(text) })));
  });

  it("adds nothing by an address", async (test) => {
    const { envelope } = FAILED;
    await hold(
      test,
      HOSTILE.map((text) => {
        const recipients = [`bea${text.slice(0, 240)}@x.test`, `"${text.slice(0, 200)}"@x.test`];
        return { envelope: { ...envelope, recipients } };
      }),
    );
  });

  it("adds nothing by the id or the host name", async (test) => {
    await hold(test, HOSTILE.map((text) => ({ id: `1${text}`, hostname: `relay${text}` })));
  });

  for (const name of ["Subject", "Message-ID", "X"]) {
    it(`adds nothing by ${name} of the original`, async (test) => {
      const from = "From: ann@x.test\r\n";
      await hold(
        test,
        HOSTILE.map((text) => ({ content: [Buffer.from(`${from}${name}: a${text}\r\n`)] })),
      );
    });
  }

  it("cannot end a part early: no client can know the boundary", () => {
    const first = build();
    const boundary = /boundary="([^"]+)"/.exec(first.toString())![1]!;
    const lines = `From: ann@x.test\r\nX: y\r\n --${boundary}--\r\n --${boundary}`;
    const second = build(withHeader(lines)).toString();
    const other = /boundary="([^"]+)"/.exec(second)![1]!;
    assert.notEqual(other, boundary);
    assert.equal(second.split(`--${other}`).length, 5);
  });
});
