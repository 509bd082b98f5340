// Which parts of a message arrive octet for octet.

import { Buffer } from "node:buffer";
import { type Case, unseen } from "../case.ts";
import { fieldsOf, lines, octets } from "../mime.ts";

interface Part {
  readonly id: string;
  readonly question: string;
  readonly fact?: string;
  /** Fields of the content and the body. */
  readonly content: string;
  /** What must be in the delivered message, octet for octet. */
  readonly kept: string;
  readonly fields?: readonly string[];
}

const SIGNED = lines(
  "Content-Type: text/plain; charset=us-ascii",
  "Content-Transfer-Encoding: 7bit",
  "",
  "A signed text,  with two spaces, and a tab\tin it. ",
  "",
  "-- ",
  "The end",
);
const BODY = lines("First line", "  an indented one", "", "=3D is no code here", "last line");
const INNER = lines(
  "Received: from inner.example by real.example; Mon, 02 Nov 2026 06:07:08 +0100",
  "From: Inner <inner@real.example>",
  "To: other@real.example",
  "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
  "Message-ID: <inner@real.example>",
  "X-Inner: kept",
  "",
  "The message inside",
);
const CALENDAR = lines(
  "BEGIN:VCALENDAR",
  "VERSION:2.0",
  "PRODID:-//real test//EN",
  "METHOD:PUBLISH",
  "BEGIN:VEVENT",
  "UID:real-test@real.example",
  "DTSTAMP:20261102T060708Z",
  "DTSTART:20300102T060000Z",
  "DTEND:20300102T070000Z",
  "SUMMARY:A test; delete it",
  "X-REAL-TEST:kept",
  "END:VEVENT",
  "END:VCALENDAR",
);
const BASE64 = octets(6_000).toString("base64").replace(/.{1,76}/g, "$&\r\n");

function mixed(type: string, part: string, ...fields: readonly string[]): string {
  return lines(
    'Content-Type: multipart/mixed; boundary="real-part"',
    "",
    "--real-part",
    "Content-Type: text/plain",
    "",
    "A test message; delete it.",
    "--real-part",
    `Content-Type: ${type}`,
    ...fields,
    "",
  ) + part + lines("--real-part--");
}

const PARTS: readonly Part[] = [
  {
    id: "signed",
    question: "Is the signed part of multipart/signed kept?",
    fact: "content.signed",
    content: lines(
      'Content-Type: multipart/signed; protocol="application/pkcs7-signature";' +
        ' micalg=sha-256; boundary="real-signed"',
      "",
      "--real-signed",
    ) + SIGNED + lines(
      "--real-signed",
      "Content-Type: application/pkcs7-signature; name=smime.p7s",
      "Content-Transfer-Encoding: base64",
      "Content-Disposition: attachment; filename=smime.p7s",
      "",
    ) + BASE64 + lines("--real-signed--"),
    kept: SIGNED,
  },
  {
    id: "dkim",
    question: "Are a plain body and its DKIM-Signature kept?",
    fact: "content.dkim",
    fields: [
      "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=real.example; s=test; h=From; bh=AA==; b=AA==",
    ],
    content: lines("Content-Type: text/plain; charset=us-ascii", "") + BODY,
    kept: BODY,
  },
  {
    id: "attached",
    question: "Is an attached message kept?",
    fact: "content.attached",
    content: mixed("message/rfc822", INNER, "Content-Disposition: attachment"),
    kept: INNER,
  },
  {
    id: "calendar",
    question: "Is a calendar part kept?",
    fact: "content.calendar",
    content: mixed("text/calendar; charset=utf-8; method=PUBLISH", CALENDAR),
    kept: CALENDAR,
  },
  {
    id: "base64",
    question: "Is a part in base64 kept as text?",
    content: mixed(
      "application/octet-stream",
      BASE64,
      "Content-Transfer-Encoding: base64",
      "Content-Disposition: attachment; filename=data.bin",
    ),
    kept: BASE64,
  },
];

export const CONTENT: readonly Case[] = PARTS.map((part): Case => ({
  id: `content.${part.id}`,
  question: part.question,
  ...(part.fact === undefined ? {} : { fact: part.fact }),
  expected: "octet for octet, as Exchange copies MIME more or less intact",
  needs: [],
  sends: { second: 1 },
  async run(bench) {
    const { fields = [], content, kept, id } = part;
    const { raw, subject } = bench.short(`content.${id}`, { fields, content });
    const { reply } = await bench.relay(this.sends, ["second"], { raw });
    const copy = reply.startsWith("250 ") ? await bench.arrived("second", subject) : undefined;
    if (copy === undefined) return unseen(`${reply}; it did not arrive`);
    const isKept = copy.raw.includes(Buffer.from(kept.trimEnd(), "utf8"));
    const hasFields = fields.every((field) =>
      fieldsOf(copy.raw, field.split(":")[0]!).some((body) => field.endsWith(body))
    );
    const [type = "none"] = fieldsOf(copy.raw, "Content-Type");
    return {
      agrees: isKept && hasFields,
      seen: isKept && hasFields
        ? "octet for octet"
        : `${isKept ? "the content, but not its fields" : "changed"}; Content-Type: ${type}`,
    };
  },
}));
