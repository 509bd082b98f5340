// High Volume Email and Azure Communication Services, where the settings have them.

import { randomUUID } from "node:crypto";
import type { Bench } from "../bench.ts";
import { type Case, NOTHING } from "../case.ts";
import { shown } from "../reach.ts";

const ACS_SCOPE = "https://communication.azure.com/.default";

/** The preset's server, or an imitation's. */
function preset(bench: Bench, name: "hve" | "acs"): Record<string, string> {
  const url = bench.settings.imitation?.smarthost;
  return { BACKEND: name, ...(url === undefined ? {} : { SMARTHOST_URL: url }) };
}

export const OTHER_WAYS: readonly Case[] = [
  {
    id: "hve.relay",
    question: "Does High Volume Email take a message with the app's token?",
    expected: "250",
    needs: ["hve"],
    sends: { second: 1 },
    async run(bench) {
      const from = bench.settings.hve!;
      const { raw } = bench.short("hve.relay", { from });
      bench.spend(this.sends, "second");
      const mail = { from, to: [bench.address("second")], raw };
      const { reply } = await bench.relays.send(mail, preset(bench, "hve"));
      return { agrees: reply.startsWith("250 "), seen: reply };
    },
  },
  {
    id: "acs.relay",
    question: "Does the SMTP server of Azure Communication Services take a message?",
    expected: "250; no 451 4.4.1, which says that smtp.azurecomm.net:587 is not there",
    fact: "acs.host",
    needs: ["acs"],
    sends: { external: 1 },
    async run(bench) {
      const { from, username, password } = bench.settings.acs!;
      const to = bench.address("external");
      const { raw } = bench.short("acs.relay", { from, to });
      bench.spend(this.sends, "external");
      const { reply } = await bench.relays.send({ from, to: [to], raw }, {
        ...preset(bench, "acs"),
        SMARTHOST_USERNAME: username,
        SMARTHOST_PASSWORD: password,
      });
      // Also a server that refuses the login is one that is there.
      return { agrees: !/^451 4\.4\.1/.test(reply), seen: reply };
    },
  },
  {
    id: "acs.scope",
    question: "Is a token issued for Azure Communication Services?",
    expected: ACS_SCOPE,
    fact: "acs.scope",
    needs: ["acs"],
    sends: NOTHING,
    async run(bench) {
      try {
        const { roles } = await bench.token(ACS_SCOPE);
        return { agrees: true, seen: `a token, with ${roles.length} roles` };
      } catch (error) {
        const { message } = error as Error;
        // The codes for a scope or a resource that is not there.
        if (!/AADSTS(?:70011|1002012|50000\d|500011|650057)/.test(message)) throw error;
        return { agrees: false, seen: message };
      }
    },
  },
  {
    id: "acs.repeated",
    question: "Is a request that comes twice with one Operation-Id one message?",
    expected: "two answers for one operation: look into the mailbox outside for one message",
    fact: "acs.repeated",
    needs: ["acs.endpoint"],
    sends: { external: 2 },
    async run(bench) {
      const { endpoint, from } = bench.settings.acs!;
      const { value } = await bench.token(ACS_SCOPE);
      const id = randomUUID();
      const { subject } = bench.name("acs.repeated");
      const ask = () => {
        bench.spend(this.sends, "external");
        return bench.reach.ask(
          `${endpoint!.replace(/\/$/, "")}/emails:send?api-version=2025-09-01`,
          {
            method: "POST",
            headers: {
              Authorization: `Bearer ${value}`,
              "Operation-Id": id,
              "Repeatability-Request-ID": id,
              "Repeatability-First-Sent": new Date().toUTCString(),
            },
            json: {
              senderAddress: from,
              content: { subject, plainText: "A test message; delete it." },
              recipients: { to: [{ address: bench.address("external") }] },
            },
          },
        );
      };
      const [one, two] = [await ask(), await ask()];
      const [first, second] = [one, two].map(({ json }) => String(json.id ?? "no id"));
      const agrees = one.status === 202 && first === second && first === id;
      const which = first === second ? "the same operation" : "two operations";
      return { agrees, seen: `${shown(one)}, then ${shown(two)}: ${which}` };
    },
  },
];
