// Exchange Online by SMTP with XOAUTH2: the token's scope, the server's replies, and the relay on this way.

import type { Bench } from "../bench.ts";
import { type Case, NOTHING } from "../case.ts";
import { fieldsOf } from "../mime.ts";

const variables = (bench: Bench) => ({
  BACKEND: "exchange",
  EXCHANGE_SMTP_URL: bench.settings.exchange!,
});

export const EXCHANGE: readonly Case[] = [
  {
    id: "exchange.scope",
    question: "Is a token issued for Outlook's host, and with which roles?",
    expected: "SMTP.SendAsApp, or none with RBAC for Applications",
    needs: ["exchange"],
    sends: NOTHING,
    async run(bench) {
      const { roles } = await bench.token(bench.exchangeScope);
      return {
        agrees: roles.length === 0 || roles.includes("SMTP.SendAsApp"),
        seen: `${bench.exchangeScope}: ${roles.join(", ") || "no roles"}`,
      };
    },
  },
  {
    id: "exchange.relay",
    question: "Does a message arrive through the relay with BACKEND=exchange, its Message-ID kept?",
    expected: "250, and the Message-ID",
    needs: ["exchange"],
    sends: { second: 1 },
    async run(bench) {
      const { raw, subject, messageId } = bench.short("exchange.relay");
      const way = variables(bench);
      const { reply } = await bench.relay(this.sends, ["second"], { raw, variables: way });
      const copy = reply.startsWith("250 ") ? await bench.arrived("second", subject) : undefined;
      if (copy === undefined) return { agrees: false, seen: `${reply}; it did not arrive` };
      const isKept = fieldsOf(copy.raw, "Message-ID").join() === messageId;
      return { agrees: isKept, seen: `${reply}; Message-ID ${isKept ? "kept" : "replaced"}` };
    },
  },
  {
    id: "exchange.other-cloud",
    question: "Is the token for this cloud's Outlook host one that its server takes?",
    expected: "250",
    fact: "exchange.clouds",
    needs: ["exchange", "otherCloud"],
    sends: { second: 1 },
    async run(bench) {
      const { raw } = bench.short("exchange.other-cloud");
      const way = variables(bench);
      const { reply } = await bench.relay(this.sends, ["second"], { raw, variables: way });
      return { agrees: reply.startsWith("250 "), seen: `${bench.exchangeScope}: ${reply}` };
    },
  },
  {
    id: "exchange.wrong-token",
    question: "What does the server answer to a token for Graph?",
    expected: "535 5.7.3",
    needs: ["exchange"],
    sends: { second: 1 },
    async run(bench) {
      const { raw } = bench.short("exchange.wrong-token");
      const { value } = await bench.token(bench.graphScope);
      const from = bench.address("sender");
      const { reply } = await bench.submit(this.sends, "second", { from, raw, token: value });
      return { agrees: /^535 5\.7\.3/.test(reply), seen: reply };
    },
  },
  {
    id: "exchange.other-sender",
    question: "What does the server answer to another mailbox in MAIL FROM?",
    expected: "5.7.60, at MAIL or after the message",
    needs: ["exchange"],
    sends: { second: 1 },
    async run(bench) {
      const from = bench.address("outside");
      const { raw } = bench.short("exchange.other-sender", { from });
      const { value } = await bench.token(bench.exchangeScope);
      const { reply } = await bench.submit(this.sends, "second", { from, raw, token: value });
      return { agrees: /^55\d 5\.7\.60/.test(reply), seen: reply };
    },
  },
];
