// What Graph answers to what it must refuse. Where it does not, a message goes to the second mailbox.

import { Buffer } from "node:buffer";
import { type Case, NOTHING, unseen } from "../case.ts";
import { message } from "../mime.ts";
import { type Answer, shown } from "../reach.ts";
import type { Bench } from "../bench.ts";
import type { Need } from "../settings.ts";

interface Refusal {
  readonly id: string;
  readonly question: string;
  readonly expected: RegExp;
  readonly needs?: readonly Need[];
  readonly fact?: string;
  /** The mailbox in the URL, the sender if left out. */
  from?(bench: Bench): string;
  /** Changes of the message. */
  readonly draft?: Partial<Parameters<typeof message>[0]>;
  /** What is sent instead of the base64 of the message. */
  body?(raw: Buffer): string;
}

const REFUSALS: readonly Refusal[] = [
  {
    id: "no-mailbox",
    question: "What is the answer for an address of the tenant that no mailbox has?",
    expected: /^404 (?:ErrorInvalidUser|ResourceNotFound|Request_ResourceNotFound)$/,
    from: (bench) => `nobody@${bench.address("sender").split("@")[1]}`,
  },
  {
    id: "other-domain",
    question: "What is the answer for a mailbox of another domain?",
    expected: /^404 (?:ErrorInvalidUser|ResourceNotFound|Request_ResourceNotFound)$/,
    from: () => "nobody@real.example",
  },
  {
    id: "outside",
    question: "What is the answer for a mailbox outside of the app's scope?",
    expected: /^403 ErrorAccessDenied$/,
    from: (bench) => bench.address("outside"),
  },
  {
    id: "bad-recipient",
    question: "What is the answer to a recipient that is no address?",
    expected: /^400 Error(?:InvalidRecipients|InvalidSmtpAddress)$/,
    draft: { to: "nobody" },
  },
  {
    id: "no-recipients",
    question: "What is the answer to a message without recipients?",
    expected: /^400 ErrorInvalidRecipients$/,
    draft: { to: "undisclosed-recipients:;" },
  },
  {
    id: "no-base64",
    question: "What is the answer to a body that is not base64?",
    expected: /^400 ErrorMimeContentInvalidBase64String$/,
    body: () => "this is not base64!",
  },
  {
    id: "full",
    question: "What is the answer for a mailbox that is full?",
    expected: /^\d+ ErrorQuotaExceeded$/,
    needs: ["full"],
    fact: "quota.status",
    from: (bench) => bench.address("full"),
  },
];

function ask(bench: Bench, refusal: Refusal, sends: { second: number }): Promise<Answer> {
  const sender = refusal.from?.(bench) ?? bench.address("sender");
  const { raw } = bench.short(`refusals.${refusal.id}`, { from: sender, ...refusal.draft });
  return bench.sendMail(sends, "second", sender, refusal.body?.(raw) ?? raw);
}

export const REFUSED: readonly Case[] = [
  ...REFUSALS.map((refusal): Case => {
    const sends = { second: 1 };
    const { id, question, expected, needs = [], fact } = refusal;
    return {
      id: `refusals.${id}`,
      question,
      expected: expected.source.replace(/[\^$\\]|\(\?:/g, "").replaceAll(")", ""),
      ...(fact === undefined ? {} : { fact }),
      needs,
      sends,
      async run(bench) {
        const answer = await ask(bench, refusal, sends);
        const seen = shown(answer);
        if (answer.status === 0) unseen(seen);
        if (id === "full" && answer.status === 202) unseen("the mailbox is not full");
        return { agrees: expected.test(seen), seen };
      },
    };
  }),
  {
    id: "refusals.linefeed",
    question: "Is a message with a lone LF refused, at once or by a report?",
    expected: "202, and a report with 5.6.11; the sandbox says 400 at once",
    fact: "linefeed.later",
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      const sender = bench.address("sender");
      const { raw, subject } = bench.short("refusals.linefeed");
      const broken = Buffer.from(raw.toString().replace(/test message/, "$&\n"));
      const answer = await bench.sendMail(this.sends, "second", sender, broken);
      if (answer.status === 400) return { agrees: true, seen: shown(answer) };
      if (answer.status !== 202) unseen(shown(answer));
      if (await bench.arrived("second", subject) !== undefined) {
        return { agrees: false, seen: "202, and it arrived" };
      }
      // The report's subject has that of the message in it.
      const reports = await bench.mailboxes.waitFor(sender, `contains(subject,'${subject}')`, 2);
      const isTold = reports.length > 1;
      return {
        agrees: isTold,
        seen: `202, and ${isTold ? "a report" : "neither it nor a report"}`,
      };
    },
  },
  {
    id: "refusals.no-token",
    question: "What is the answer to a token that is none?",
    expected: "401 InvalidAuthenticationToken",
    needs: [],
    sends: NOTHING,
    async run(bench) {
      const seen = shown(
        await bench.mailboxes.of(bench.address("sender"), "/sendMail", {
          method: "POST",
          headers: { "Content-Type": "text/plain", Authorization: "Bearer none" },
          body: "",
        }),
      );
      return { agrees: seen === "401 InvalidAuthenticationToken", seen };
    },
  },
  {
    id: "refusals.no-permission",
    question: "What is the answer to the token of an app without permissions?",
    expected: "403 ErrorAccessDenied, or 401 NoPermissionsInAccessToken",
    needs: ["powerlessApp"],
    sends: { second: 1 },
    async run(bench) {
      const { clientId, secret } = bench.settings.powerlessApp!;
      const { json } = await bench.askForToken({ clientId, secret });
      const { raw } = bench.short("refusals.no-permission");
      bench.spend(this.sends, "second");
      const answer = await bench.mailboxes.of(bench.address("sender"), "/sendMail", {
        method: "POST",
        headers: {
          "Content-Type": "text/plain",
          Authorization: `Bearer ${json.access_token ?? "none"}`,
        },
        body: raw.toString("base64"),
      });
      const seen = shown(answer);
      return { agrees: /^(?:403 ErrorAccessDenied|401 NoPerm\w+)$/.test(seen), seen };
    },
  },
];
