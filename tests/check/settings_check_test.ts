// Checks that bad settings prevent: nothing may be judged by a value that is not in force.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  canJudge,
  checkSettings,
  NEEDS,
  type Part,
  withContradictions,
} from "../../src/check/settings_check.ts";
import { examineSettings } from "../../src/settings/load.ts";
import type { SettingName } from "../../src/settings/schema.ts";

const QUEUE_KEY = "A".repeat(43);
const LOGINS: Part[] = ["login", "trusted networks"];
const PARTS = Object.keys(NEEDS) as Part[];

function judged(environment: Record<string, string>): Part[] {
  const { settings, invalid } = examineSettings(environment);
  const all = withContradictions(settings, invalid);
  return PARTS.filter((part) => canJudge(part, all));
}

describe("a part of the check", () => {
  it("is judged if all settings are valid", () => assert.deepEqual(judged({}), PARTS));

  const cases: readonly [environment: Record<string, string>, unjudged: Part[]][] = [
    [{ LOG_LEVEL: "LOUD" }, []],
    [{ SMTP_LISTEN: "x" }, ["SMTP port"]],
    [{ TLS_SOURCE: "nowhere" }, ["certificate"]],
    [{ GRAPH_ENDPOINT: "x" }, ["Graph", ...LOGINS]],
    [
      { AZURE_CLOUD: "x" },
      ["table", "own credentials", "queue", "Entra ID", "Graph", "ways out", ...LOGINS],
    ],
    [
      { HTTPS_PROXY: "socks5://x" },
      ["table", "own credentials", "queue", "Entra ID", "Graph", "ways out", ...LOGINS],
    ],
    [{ BACKEND: "smarthost" }, ["ways out", ...LOGINS]],
    [{ EXCHANGE_SMTP_URL: "x" }, ["ways out"]],
    // A message would be sent against the rule in force.
    [{ ALLOWED_SENDERS: "???" }, LOGINS],
    [{ TLS_SOURCE: "keyvault" }, ["certificate", "own credentials"]],
    [{ AZURE_TABLES_FORCE_USAGE: "true" }, ["table", ...LOGINS]],
    [{ AZURE_TABLES_URL: "http://127.0.0.1:1/users" }, ["table", ...LOGINS]],
    [{ AZURE_TABLES_FORCE_USAGE: "true", LOOKUP_FILE: "lookup.json" }, []],
    [{ MANAGED_IDENTITY_CLIENT_ID: "x" }, ["own credentials", ...LOGINS]],
    [{ CLIENT_CERTIFICATE_FILEPATH: "cert.pem" }, ["own credentials", ...LOGINS]],
    [{ AZURE_KEY_VAULT_CLIENT_CERT_NAME: "relay" }, ["own credentials", ...LOGINS]],
    [
      { AZURE_KEY_VAULT_CLIENT_CERT_NAME: "relay", AZURE_KEY_VAULT_URL: "x" },
      ["own credentials", "certificate", ...LOGINS],
    ],
    [{ TRUSTED_NETWORKS: "0.0.0.0/0" }, ["trusted networks"]],
    [{ TRUSTED_NETWORKS: "10.0.0.0/8" }, ["trusted networks"]],
    [{ QUEUE_URL: "x" }, ["queue"]],
    [{ QUEUE_KEY: "x" }, ["queue"]],
    [{ DELIVERY_MODE: "queue" }, ["queue"]],
    [{ DELIVERY_MODE: "queue", QUEUE_KEY, QUEUE_URL: "azure-storage:" }, ["queue"]],
    [{ DELIVERY_MODE: "queue", QUEUE_KEY }, []],
    [{ TRUSTED_PASSWORD: "x" }, ["trusted networks"]],
  ];
  for (const [environment, unjudged] of cases) {
    it(`is left out with ${JSON.stringify(environment)}: ${unjudged.join(", ") || "none"}`, () => {
      assert.deepEqual(judged(environment), PARTS.filter((part) => !unjudged.includes(part)));
    });
  }

  it("that is left out is named with the setting", () => {
    const invalid = new Set<SettingName>(["SMTP_LISTEN", "LOG_LEVEL"]);
    const findings = checkSettings({ problems: [], warnings: [], invalid }, 0, [
      "SMTP port",
      "Graph",
    ]);
    assert.deepEqual(findings.map(({ code, what }) => [code, what]), [
      ["settings.not-judged", "not checked because of SMTP_LISTEN: SMTP port"],
    ]);
  });
});
