// What Entra ID answers to token requests that it must refuse, and the relay to such logins.

import { randomUUID } from "node:crypto";
import type { Bench } from "../bench.ts";
import { type Case, NOTHING, unseen } from "../case.ts";
import { shown } from "../reach.ts";
import type { Need } from "../settings.ts";

interface Request {
  readonly id: string;
  readonly question: string;
  readonly expected: RegExp;
  readonly needs?: readonly Need[];
  readonly fact?: string;
  change(bench: Bench): Parameters<Bench["askForToken"]>[0];
}

const REQUESTS: readonly Request[] = [
  {
    id: "wrong-secret",
    question: "a wrong secret",
    expected: /^401 invalid_client 7000215$/,
    change: () => ({ secret: "wrong-secret" }),
  },
  {
    id: "expired-secret",
    question: "an expired secret",
    expected: /^401 invalid_client 7000222$/,
    needs: ["expiredSecret"],
    change: ({ settings }) => ({ secret: settings.expiredSecret! }),
  },
  {
    id: "unknown-app",
    question: "an app that the tenant does not have",
    expected: /^400 unauthorized_client 700016$/,
    fact: "token.unknown-app",
    change: () => ({ clientId: randomUUID(), secret: "none" }),
  },
  {
    id: "disabled-app",
    question: "an app that is disabled",
    expected: /^40[01] (?:unauthorized_client|invalid_client) (?:7000112|70001)$/,
    needs: ["disabledApp"],
    change: ({ settings }) => settings.disabledApp!,
  },
  {
    id: "unknown-tenant",
    question: "a tenant that does not exist",
    expected: /^400 invalid_request 90002$/,
    change: () => ({ tenant: randomUUID() }),
  },
  {
    id: "bad-scope",
    question: "a scope without /.default",
    expected: /^400 invalid_scope (?:70011|1002012)$/,
    change: () => ({ scope: "https://graph.microsoft.com/Mail.Send" }),
  },
  {
    id: "forbidden-secret",
    question: "a secret that is older than the policy that forbids secrets",
    expected: /^200$/,
    needs: ["forbiddenSecret"],
    fact: "policy.secrets",
    change: ({ settings }) => settings.forbiddenSecret!,
  },
];

export const TOKENS: readonly Case[] = [
  ...REQUESTS.map(({ id, question, expected, needs = [], fact, change }): Case => ({
    id: `tokens.${id}`,
    question: `What does Entra ID answer to ${question}?`,
    expected: expected.source.replace(/[\^$]|\(\?:/g, "").replaceAll(")", ""),
    ...(fact === undefined ? {} : { fact }),
    needs,
    sends: NOTHING,
    async run(bench) {
      const answer = await bench.askForToken(change(bench));
      const seen = shown(answer);
      // A secret that is wrong or has ended says nothing of a policy.
      if (answer.status === 0 || id === "forbidden-secret" && / 70002(?:15|22)\b/.test(seen)) {
        unseen(seen);
      }
      return { agrees: expected.test(seen), seen };
    },
  })),
  {
    id: "tokens.login",
    question: "What does a device see that logs in with a wrong secret?",
    expected: "535 5.7.8 with the code AADSTS7000215",
    needs: [],
    sends: NOTHING,
    async run(bench) {
      const { tenant, app } = bench.settings;
      const seen = await bench.relays.logIn(`${tenant}@${app.clientId}`, "wrong-secret");
      return { agrees: /^535 5\.7\.8 .*AADSTS7000215/.test(seen), seen };
    },
  },
  {
    id: "tokens.roles",
    question: "Which roles does the app's token for Graph name?",
    expected: "Mail.Send and Mail.ReadWrite, or none with RBAC for Applications",
    needs: [],
    sends: NOTHING,
    async run(bench) {
      const { roles } = await bench.token(bench.graphScope);
      const isExpected = roles.length === 0 ||
        ["Mail.Send", "Mail.ReadWrite"].every((role) => roles.includes(role));
      return { agrees: isExpected, seen: roles.join(", ") || "none" };
    },
  },
];
