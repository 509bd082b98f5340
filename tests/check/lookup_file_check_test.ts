// LOOKUP_FILE: the findings about the file and about each of its entries.

import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, it } from "node:test";
import type { EntryRules } from "../../src/accounts/entry_state.ts";
import { entryRulesOf } from "../../src/check/entry_findings.ts";
import { checkLookupFile } from "../../src/check/lookup_file_check.ts";
import { settingsOf } from "../support/settings.ts";

const RULES: EntryRules = { delimiter: "@", allowedSenders: undefined, forced: false };
const ID = "12345678-1234-1234-1234-123456789abc";
const APP = { tenant_id: ID, client_id: ID };
const HASH = `$sha256$${"A".repeat(22)}$${"A".repeat(43)}`;

describe("LOOKUP_FILE", () => {
  const folder = mkdtempSync(join(tmpdir(), "relay-lookup-check-"));
  after(() => rmSync(folder, { recursive: true }));

  const judge = async (
    content: unknown,
    { mode = 0o600, rules = RULES, alone = true } = {},
  ) => {
    const path = join(folder, "lookup.json");
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    chmodSync(path, mode);
    const { file, findings } = await checkLookupFile({ path, rules, alone });
    file?.close();
    return { codes: findings.map(({ code }) => code), findings, isUsable: file !== undefined };
  };
  const device = { ...APP, from_email: "a@example.com", credential: "certificate" };

  it("is counted, and each entry with a mistake is named with the command that corrects it", async () => {
    const { codes, findings } = await judge({
      good: { ...device, password_hash: HASH },
      off: { ...APP, disabled: true },
      unbound: { ...APP, credential: "certificate", password_hash: HASH },
      passwordless: device,
      wrong: { tenant_id: "not an id", client_id: ID },
    });
    assert.deepEqual(codes, ["lookup.ok", "lookup.row", "lookup.row", "lookup.row"]);
    assert.match(findings[0]!.what, /lookup\.json" has 5 entries, 1 of them disabled/);
    assert.match(findings[1]!.what, /entry "unbound": from_email must be set/);
    assert.match(findings[2]!.what, /entry "passwordless": password_hash must be set/);
    assert.match(findings[2]!.fix!, /smtp-oauth-relay lookup set-password passwordless$/);
    assert.match(findings[3]!.fix!, /smtp-oauth-relay lookup set wrong tenant_id=VALUE$/);
    assert.ok(!JSON.stringify(findings).includes("AAAA"));
  });

  it("has a way out in an entry that the settings do not set up", async () => {
    const entry = (backend: string) => ({ ...APP, backend });
    const content = {
      ok: entry("graph,exchange"),
      relay: entry("graph,smarthost"),
      acs: entry("acs"),
    };
    assert.deepEqual((await judge(content)).codes, ["lookup.ok"], "not judged without settings");
    const rules = entryRulesOf(settingsOf({}), true);
    const { codes, findings } = await judge(content, { rules });
    assert.deepEqual(codes, ["lookup.ok", "lookup.row", "lookup.row"]);
    assert.match(findings[1]!.what, /entry "relay": .*SMARTHOST_URL must be set/);
    assert.match(
      findings[1]!.fix!,
      /smtp-oauth-relay lookup set relay backend=VALUE, or set up .*ways_out\.md$/,
    );
    assert.match(findings[2]!.what, /entry "acs": .*SMARTHOST_USERNAME and SMARTHOST_PASSWORD/);
    const unknown = await judge({ a: entry("smarthos") }, { rules });
    assert.match(unknown.findings[1]!.fix!, /backend=VALUE$/);
    const SMARTHOST_URL = "smtp://mail.example";
    const set = { SMARTHOST_URL, SMARTHOST_USERNAME: "a", SMARTHOST_PASSWORD: "b" };
    const judged = await judge(content, { rules: entryRulesOf(settingsOf(set), true) });
    assert.deepEqual(judged.codes, ["lookup.ok"]);
    const unjudged = await judge(content, { rules: entryRulesOf(settingsOf({}), false) });
    assert.deepEqual(unjudged.codes, ["lookup.ok"]);
  });

  it("that is not there, not JSON, or has an id twice, is not used", async () => {
    const missing = await checkLookupFile({
      path: join(folder, "none.json"),
      rules: RULES,
      alone: true,
    });
    assert.equal(missing.file, undefined);
    assert.deepEqual(missing.findings.map(({ code }) => code), ["lookup.unreadable"]);
    assert.match(missing.findings[0]!.what, /there is no such file or directory \(ENOENT\)/);
    for (
      const [text, words] of [
        ["{", /the file ends too early/],
        ["[]", /must be one object/],
        ['{\n  "a": {},\n  "a": {}\n}', /line 3, .*"a" is there twice/],
      ] as const
    ) {
      const { codes, findings, isUsable } = await judge(text);
      assert.deepEqual([codes, isUsable], [["lookup.malformed"], false]);
      assert.match(findings[0]!.what, words);
    }
  });

  it("without entries is doubtful, and wrong where every login needs one", async () => {
    assert.deepEqual((await judge({})).codes, ["lookup.empty"]);
    const rules = { ...RULES, forced: true };
    assert.deepEqual((await judge({}, { rules })).codes, ["lookup.empty-forced"]);
    assert.deepEqual((await judge({}, { rules, alone: false })).codes, ["lookup.empty"]);
  });

  it(
    "that others may change, or whose hashes they may read, is warned about",
    { skip: process.platform === "win32" },
    async () => {
      const entries = { a: { ...device, password_hash: HASH } };
      const codes = async (mode: number, content: unknown = entries) =>
        (await judge(content, { mode })).codes;
      assert.deepEqual(await codes(0o640), ["lookup.ok"]);
      assert.deepEqual(await codes(0o644), ["lookup.exposed", "lookup.ok"]);
      assert.deepEqual(await codes(0o644, { a: APP }), ["lookup.ok"]);
      assert.deepEqual(await codes(0o646, { a: APP }), ["lookup.exposed", "lookup.ok"]);
    },
  );
});
