// Which header fields arrive as they were sent. All cases look at one message, to a mailbox by To and to
// another one by the envelope alone.

import type { Buffer } from "node:buffer";
import type { Bench } from "../bench.ts";
import { type Case, unseen } from "../case.ts";
import { bySubject } from "../mailbox.ts";
import { addressesIn, fieldsOf } from "../mime.ts";
import { shown } from "../reach.ts";

const DATE = "Mon, 02 Nov 2026 06:07:08 +0100";
/** A recipient by To, and the sender itself by the envelope alone. */
const SENDS = { second: 1, sender: 1 };

const FIELDS = [
  ["Date", DATE, "date.kept"],
  ["X-Real-Test", "an X- field", undefined],
  ["Real-Test", "a field that no standard has", undefined],
  ["Reply-To", "<reply@real.example>", undefined],
  ["In-Reply-To", "<question@real.example>", undefined],
  ["References", "<first@real.example> <question@real.example>", undefined],
  ["List-Unsubscribe", "<https://real.example/unsubscribe>", undefined],
  ["Auto-Submitted", "auto-generated", undefined],
  ["Importance", "high", undefined],
  ["Return-Path", "<bounces@real.example>", undefined],
  [
    "Received",
    "from first.example by second.example with ESMTP id real-test; Mon, 02 Nov 2026 06:07:08 +0100",
    undefined,
  ],
] as const;

/** Which of them Exchange was reported to drop or to replace. */
const LOST = ["Real-Test", "X-Real-Test", "Auto-Submitted", "Return-Path"];

interface Copies {
  readonly messageId: string;
  /** Of the recipient; of the sender, who has one in Sent Items and one in the Inbox. */
  readonly second: Buffer;
  readonly sender: readonly Buffer[];
}

function copies(bench: Bench): Promise<Copies> {
  return bench.once("headers", async () => {
    const { raw, subject, messageId } = bench.short("headers", {
      fields: FIELDS.map(([name, body]) => `${name}: ${body}`),
    });
    const { reply } = await bench.relay(SENDS, ["second", "sender"], { raw });
    const second = reply.startsWith("250 ") ? await bench.arrived("second", subject) : undefined;
    if (second === undefined) return unseen(`${reply}; it did not arrive`);
    const address = bench.address("sender");
    const sender = [];
    // One in the Inbox, one in Sent Items.
    const own = await bench.mailboxes.waitFor(address, bySubject(subject), 2);
    for (const found of own) {
      sender.push(await bench.mailboxes.content(address, found));
    }
    return { messageId, second: second.raw, sender };
  });
}

const shared = { needs: [], sends: SENDS } as const;

export const HEADERS: readonly Case[] = [
  {
    ...shared,
    id: "headers.Message-ID",
    question: "Is the Message-ID kept, for the recipient and in Sent Items?",
    expected: "the message's own in all copies",
    fact: "message-id.kept",
    async run(bench) {
      const made = await copies(bench);
      const found = [made.second, ...made.sender].flatMap((raw) => fieldsOf(raw, "Message-ID"));
      const kept = found.filter((id) => id === made.messageId).length;
      return {
        agrees: found.length > 1 && kept === found.length,
        seen: `${kept} of ${found.length} copies have it`,
      };
    },
  },
  {
    ...shared,
    id: "headers.Bcc",
    question: "Is the Bcc field taken out of what recipients get?",
    expected: "no Bcc for the recipient; the copy in Sent Items may have it",
    fact: "bcc.removed",
    async run(bench) {
      const made = await copies(bench);
      const hidden = bench.address("sender").toLowerCase();
      const bcc = fieldsOf(made.second, "Bcc").flatMap(addressesIn);
      const own = made.sender.map((raw) => fieldsOf(raw, "Bcc").length);
      return {
        agrees: bcc.length === 0,
        seen:
          `${bcc.includes(hidden) ? "names the hidden recipient" : `${bcc.length} addresses`} ` +
          `for the recipient; ${own.filter((count) => count > 0).length} of ${own.length} copies ` +
          "of the sender's have the field",
      };
    },
  },
  ...FIELDS.map(([name, body, fact]): Case => ({
    ...shared,
    id: `headers.${name}`,
    question: `Does ${name} arrive as it was sent?`,
    expected: LOST.includes(name)
      ? "reported to be dropped or replaced, at times"
      : "as it was sent",
    ...(fact === undefined ? {} : { fact }),
    async run(bench) {
      const made = await copies(bench);
      const found = fieldsOf(made.second, name);
      // Exchange adds its own Received fields above those that are there.
      const isThere = found.some((text) => text.replace(/\s+/g, " ") === body) ||
        name === "Reply-To" && addressesIn(found.join()).join() === addressesIn(body).join();
      const others = name === "Received" ? [`${found.length} fields`] : found;
      return {
        agrees: isThere || LOST.includes(name),
        seen: isThere ? "as it was sent" : `not as it was sent: ${others.join(" | ") || "gone"}`,
      };
    },
  })),
  {
    id: "headers.two-to-fields",
    question: "Do the addresses of two To fields both get the message?",
    expected: "both, as the sandbox does (the relay itself never sends two)",
    fact: "recipients.all-fields",
    needs: [],
    sends: { second: 1, sender: 1 },
    async run(bench) {
      const sender = bench.address("sender");
      const { raw, subject } = bench.short("headers.two-to-fields", { fields: [`To: ${sender}`] });
      bench.spend(this.sends, "sender");
      const answer = await bench.sendMail(this.sends, "second", sender, raw);
      if (answer.status !== 202) unseen(shown(answer));
      const second = await bench.arrived("second", subject);
      // One copy is that of Sent Items.
      const own = (await bench.mailboxes.waitFor(sender, bySubject(subject), 2)).length - 1;
      return {
        agrees: second !== undefined && own > 0,
        seen: `second To: ${second === undefined ? "nothing" : "arrived"}; first To: ${own} copies`,
      };
    },
  },
];
