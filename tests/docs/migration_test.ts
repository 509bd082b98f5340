/**
 * The pages for migration from other programs, compared with the settings: what the right column of their
 * tables sets exists and may have that value, and nothing of the other program is
 * left out.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { loadSetting } from "../../src/settings/load.ts";
import { type SettingName, SETTINGS } from "../../src/settings/schema.ts";
import type { Setting } from "../../src/settings/setting.ts";

const DOCS = fileURLToPath(new URL("../../docs/", import.meta.url));

interface Row {
  readonly there: string;
  readonly here: string;
}

function read(page: string): string {
  return readFileSync(`${DOCS}${page}.md`, "utf8");
}

/** The rows below `## Settings side by side`. */
function rowsOf(page: string): Row[] {
  const [, section = ""] = read(page).split("## Settings side by side\n");
  const lines = section.split("\n## ")[0]!.split("\n").filter((line) => line.startsWith("|"));
  return lines.slice(2).map((line) => {
    const [, there = "", here = ""] = line.split("|").map((cell) => cell.trim());
    return { there, here };
  });
}

/** `NAME` or `NAME=value` in code spans. */
function settingsIn(cell: string): { name: string; value: string | undefined }[] {
  return [...cell.matchAll(/`([A-Z][A-Z0-9_]+)(?:=([^`]*))?`/g)].map(([, name, value]) => ({
    name: name!,
    value,
  }));
}

/** All of the lines in blocks that are settings. */
function blocksOf(page: string): { name: string; value: string | undefined }[] {
  const blocks = [...read(page).matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
  return blocks.flatMap((text) =>
    [...text.matchAll(/^([A-Z][A-Z_]+)=(.*)$/gm)].map(([, name, value]) => ({ name: name!, value }))
  );
}

function assertSetting(name: string, value: string | undefined): void {
  const secret = name.replace(/_FILE$/, "");
  if (secret !== name && (SETTINGS as Record<string, Setting<unknown>>)[secret]?.secret) return;
  assert.ok(name in SETTINGS, `${name} is no setting`);
  if (value === undefined) return;
  const problems = loadSetting(name as SettingName, { [name]: value });
  assert.ok("value" in problems, JSON.stringify(problems));
}

const PAGES = ["coming_from_python_relay", "coming_from_smtp2graph", "coming_from_postfix"];

for (const page of PAGES) {
  describe(`${page}.md`, () => {
    const rows = rowsOf(page);

    it("has a table of settings", () => assert.ok(rows.length >= 15, String(rows.length)));

    it("names settings that exist, with values that they may have", () => {
      const named = [...rows.flatMap(({ here }) => settingsIn(here)), ...blocksOf(page)];
      assert.ok(named.length >= 15, String(named.length));
      for (const { name, value } of named) assertSetting(name, value);
    });
  });
}

/** Names and defaults of the Python relay, by its own documentation. */
const PYTHON: Readonly<Record<string, string | undefined>> = {
  LOG_LEVEL: "WARNING",
  TLS_SOURCE: "file",
  REQUIRE_TLS: "true",
  SERVER_GREETING: "Microsoft Graph SMTP OAuth Relay",
  TLS_CERT_FILEPATH: "certs/cert.pem",
  TLS_KEY_FILEPATH: "certs/key.pem",
  TLS_CIPHER_SUITE: undefined,
  USERNAME_DELIMITER: "@",
  AZURE_KEY_VAULT_URL: undefined,
  AZURE_KEY_VAULT_CERT_NAME: undefined,
  AZURE_TABLES_URL: undefined,
  AZURE_TABLES_PARTITION_KEY: "user",
  AZURE_TABLES_FORCE_USAGE: "false",
  GRAPH_HTTP_TIMEOUT: "30",
};

describe("the Python relay's settings", () => {
  const rows = rowsOf("coming_from_python_relay");
  for (const [name, standard] of Object.entries(PYTHON)) {
    it(`are the same here: ${name}`, () => {
      assert.equal(SETTINGS[name as SettingName].standard, standard);
      assert.ok(rows.some(({ there, here }) => there === `\`${name}\`` && here === there));
    });
  }
});

/** Of SMTP2Graph's config.schema.json and Config.ts: the last part of each name. */
const SMTP2GRAPH = [
  ["mode", "tenant", "id", "secret", "certificate", "forceMailbox", "retryLimit"],
  ["retryInterval", "port", "listenAddress", "secure", "tlsKeyPath", "tlsCertPath", "maxSize"],
  ["banner", "ipWhitelist", "allowedFrom", "allowedRcpt", "allowInsecureAuth", "requireAuth"],
  ["users", "rateLimit", "authLimit", "httpProxy"],
].flat();

describe("SMTP2Graph's settings", () => {
  const there = rowsOf("coming_from_smtp2graph").map((row) => row.there).join("\n");
  for (const name of SMTP2GRAPH) {
    it(`are mentioned: ${name}`, () => assert.match(there, new RegExp(`[.\`]${name}\\b`)));
  }
});
