// What the relay itself keeps in Azure, where the settings have it: queue and lookup table, by an identity
// or a connection string, and the certificate in a vault.

import { type Case, NOTHING, unseen } from "../case.ts";
import type { RealSettings } from "../settings.ts";

const ROUNDS = 5;

function identity({ azure }: RealSettings): Record<string, string> {
  return { AZURE_TOKEN_CREDENTIALS: azure?.identity ?? "AzureCliCredential" };
}

export const STORAGE: readonly Case[] = [
  {
    id: "storage.queue",
    question: "How long does a message take to be stored in the Azure queue, and does it arrive?",
    expected: "under 100 ms in the same region, for two requests",
    fact: "storage.latency",
    needs: ["azure.queue"],
    sends: { second: ROUNDS },
    async run(bench) {
      const { queue, queueConnectionString: connection } = bench.settings.azure!;
      const variables = {
        ...identity(bench.settings),
        DELIVERY_MODE: "queue",
        QUEUE_URL: queue!,
        QUEUE_KEY: bench.queueKey,
        ...(connection === undefined ? {} : { QUEUE_CONNECTION_STRING: connection }),
      };
      const took: number[] = [];
      let last = { reply: "", subject: "" };
      for (let round = 0; round < ROUNDS; round++) {
        const { raw, subject } = bench.short("storage.queue");
        const sent = await bench.relay(this.sends, ["second"], { raw, variables });
        took.push(Math.round(sent.took));
        last = { reply: sent.reply, subject };
      }
      if (!last.reply.startsWith("250 ")) unseen(last.reply);
      const copy = await bench.arrived("second", last.subject);
      took.sort((one, other) => one - other);
      const median = took[Math.floor(ROUNDS / 2)]!;
      return {
        // Connection and login are part of it; the first one also gets the tokens.
        agrees: median < 100 && copy !== undefined,
        seen: `${last.reply}; ${took.join(", ")} ms from the connection to the 250, and ${
          copy === undefined ? "the last did not arrive" : "the last arrived"
        }`,
      };
    },
  },
  {
    id: "storage.vault",
    question: "Does `check` get the certificate with its key from the vault?",
    expected: "vault.ok",
    fact: "vault.real",
    needs: ["azure.vault"],
    sends: NOTHING,
    async run(bench) {
      const { vault, vaultCertificate } = bench.settings.azure!;
      const { stdout } = await bench.relays.command(["check", "--json"], {
        ...identity(bench.settings),
        TLS_SOURCE: "keyvault",
        AZURE_KEY_VAULT_URL: vault!,
        AZURE_KEY_VAULT_CERT_NAME: vaultCertificate!,
      });
      const { findings = [] } = stdout === "" ? {} : JSON.parse(stdout);
      const codes: string[] = findings.map(({ code }: { code: string }) => code);
      const seen = codes.filter((code) => code.startsWith("vault.")).join(", ") || "no findings";
      // Of a vault that was not reached, or did not let it in, it shows nothing.
      if (!/vault\.(?:ok|malformed|absent|refused)/.test(seen)) unseen(seen);
      return { agrees: codes.includes("vault.ok"), seen };
    },
  },
  {
    id: "storage.table",
    question: "Is the lookup table read by the identity?",
    expected: "a list, which may be empty",
    needs: ["azure.table"],
    sends: NOTHING,
    async run(bench) {
      const { table, tableConnectionString: connection } = bench.settings.azure!;
      const { stdout, stderr } = await bench.relays.command(["lookup", "list", "--json"], {
        ...identity(bench.settings),
        LOOKUP_FILE: "",
        AZURE_TABLES_URL: table!,
        ...(connection === undefined ? {} : { AZURE_TABLES_CONNECTION_STRING: connection }),
      });
      const isList = stdout.startsWith("[");
      return { agrees: isList, seen: isList ? "a list" : stderr.split("\n")[0]!.slice(0, 200) };
    },
  },
];
