// The lookup table: what its errors mean, and the findings about its rows.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Row } from "../../src/accounts/entry.ts";
import type { EntryRules } from "../../src/accounts/entry_state.ts";
import { classifyTableError, TABLE_TROUBLE } from "../../src/accounts/table_error.ts";
import { lookupCommand } from "../../src/check/finding.ts";
import { checkTable } from "../../src/check/table_check.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";

const URL_ = new URL("https://account.table.core.windows.net/users");
const ID = "12345678-1234-1234-1234-123456789abc";

const RULES: EntryRules = { delimiter: "@", allowedSenders: undefined, forced: false };

const judge = (
  answer: Awaited<ReturnType<Parameters<typeof checkTable>[0]["list"]>>,
  { needed = false, isBesideFile = false, rules = RULES } = {},
) => {
  const table = { list: () => Promise.resolve(answer) };
  return checkTable(table, { url: URL_, needed, isBesideFile, timeout: 1000, rules });
};

describe("a table that cannot be read", () => {
  /** As the SDK throws it: https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes */
  const service = (statusCode: number, code?: string) =>
    Object.assign(new Error("refused"), { statusCode, details: { odataError: { code } } });
  const network = (code: string) => Object.assign(new Error("broken"), { code });
  const named = (name: string, message = "none") => Object.assign(new Error(message), { name });

  const cases: readonly [error: Error, code: string][] = [
    [service(404, "TableNotFound"), "table.missing"],
    [service(409, "TableBeingDeleted"), "table.missing"],
    // No role: https://learn.microsoft.com/azure/storage/tables/assign-azure-role-data-access
    [service(403, "AuthorizationPermissionMismatch"), "table.forbidden"],
    [service(403, "AuthenticationFailed"), "table.forbidden"],
    [service(403, "AuthorizationFailure"), "table.forbidden"],
    [service(403, "InsufficientAccountPermissions"), "table.forbidden"],
    [service(403, "AuthorizationResourceTypeMismatch"), "table.forbidden"],
    [service(403, "KeyBasedAuthenticationNotPermitted"), "table.forbidden"],
    [service(401, "InvalidAuthenticationInfo"), "table.forbidden"],
    [service(401, "NoAuthenticationInformation"), "table.forbidden"],
    [service(403), "table.forbidden"],
    [named("CredentialUnavailableError"), "table.identity"],
    [named("AuthenticationError", "AADSTS700016: not found"), "table.identity"],
    [named("AggregateAuthenticationError"), "table.identity"],
    [network("ENOTFOUND"), "table.unreachable"],
    [network("ECONNREFUSED"), "table.unreachable"],
    [network("PROXY_407"), "table.unreachable"],
    [network("UNABLE_TO_VERIFY_LEAF_SIGNATURE"), "table.unreachable"],
    [network("SELF_SIGNED_CERT_IN_CHAIN"), "table.unreachable"],
    [named("AbortError"), "table.unreachable"],
    [service(503, "ServerBusy"), "table.refused"],
    [service(404), "table.refused"],
    [service(500), "table.refused"],
  ];
  for (const [error, code] of cases) {
    const trouble = classifyTableError(error, 1000);
    it(`is ${code} after ${trouble.code}`, async () => {
      const [found, ...more] = await judge(trouble);
      assert.equal(found?.code, code);
      assert.ok(found!.what.startsWith("account.table.core.windows.net/users: "));
      assert.deepEqual(more, []);
    });
  }

  for (const [known, { problem, advice }] of Object.entries(TABLE_TROUBLE)) {
    it(`has one fix after ${known}, not two`, async () => {
      const [found] = await judge(classifyTableError(service(400, known), 1000));
      assert.ok(found!.what.endsWith(`${known}: ${problem}`), found!.what);
      assert.doesNotMatch(problem, /[:;] (?:check|give|unset|set) /, "it is advice");
      if (found?.code !== "table.forbidden" || advice === undefined) return;
      assert.equal(found.fix, advice);
    });
  }

  it("explains that no identity was found when the SDK has none", () => {
    const message =
      "ChainedTokenCredential authentication failed.\nCredentialUnavailableError: none";
    const none = classifyTableError(named("AggregateAuthenticationError", message), 1000);
    assert.equal(none.code, "NO_IDENTITY");
    const refused = `${message}\nAuthenticationError: invalid_client: AADSTS7000215`;
    assert.equal(
      classifyTableError(named("AggregateAuthenticationError", refused), 1000).code,
      "AADSTS7000215",
    );
  });
});

describe("the command that corrects an entry", () => {
  for (
    const [id, command] of [
      ["scanner-1@example.com", "scanner-1@example.com"],
      ["two words", "'two words'"],
      ["O'Brien$(id)", "'O'\\''Brien$(id)'"],
    ]
  ) {
    it(`can be pasted into a shell for ${id}`, () => {
      assert.equal(
        lookupCommand("set", id!, "client_id"),
        `smtp-oauth-relay lookup set ${command} client_id=VALUE`,
      );
    });
  }
});

describe("a table's rows", () => {
  const row = (id: string, columns: Row["columns"] = {}): Row => ({
    id,
    columns: { tenant_id: ID, client_id: ID, ...columns },
  });
  const codes = async (rows: readonly Row[]) => (await judge(rows)).map(({ code }) => code);

  it("are counted, including disabled ones", async () => {
    const [found] = await judge([row("a"), row("b", { disabled: true })]);
    assert.equal(found?.code, "table.ok");
    assert.match(found!.what, /\/users has 2 entries, 1 of them disabled$/);
  });

  it("are warned about if there are none", async () => {
    assert.deepEqual(await codes([]), ["table.empty"]);
    const [forced] = await judge([], { needed: true });
    assert.deepEqual([forced?.code, forced?.level], ["table.empty-forced", "fail"]);
  });

  it("with a mistake are named with the column, and without its value", async () => {
    const secret = "pasted-into-the-wrong-column";
    const found = await judge([row("a", { client_id: secret }), row("b")]);
    assert.deepEqual(found.map(({ code }) => code), ["table.ok", "table.row"]);
    assert.equal(found[1]!.what, 'entry "a": client_id must be a UUID');
    assert.ok(!JSON.stringify(found).includes(secret));
  });

  it("are corrected in the table, not in LOOKUP_FILE, which lookup would take first", async () => {
    const rows = [
      row("a", { client_id: "typo" }),
      row("b", { password_hash: "typo" }),
      row("scanner@lookup"),
    ];
    const fixes = async (isBesideFile: boolean) =>
      (await judge(rows, { isBesideFile })).slice(1).map(({ fix = "" }) =>
        /: ((?:LOOKUP_FILE= )?smtp-oauth-relay lookup \S+)/.exec(fix)?.[1]
      );
    const commands = ["set", "set-password", "delete"].map((action) =>
      `smtp-oauth-relay lookup ${action}`
    );
    assert.deepEqual(await fixes(false), commands);
    assert.deepEqual(await fixes(true), commands.map((command) => `LOOKUP_FILE= ${command}`));
  });

  it("with a column of almost a known name are named, too", async () => {
    const found = await judge([row("a", { Disabled: true })]);
    assert.equal(
      found[1]?.what,
      'entry "a": disabled must be called exactly so in the table, not "Disabled"',
    );
  });

  it("that no username can name, or whose messages are all refused, are named too", async () => {
    const sender = { from_email: "a@x.test" };
    const rows = [
      row("scanner@lookup"),
      row("own", { ...sender, allowed_senders: "@y.test" }),
      row("off", { ...sender, allowed_senders: "@y.test", disabled: true }),
      row("fine", { from_email: "a@y.test", allowed_senders: "@y.test" }),
      row("all", sender),
    ];
    const rules: EntryRules = { ...RULES, allowedSenders: SenderList.parse("@y.test") };
    const [ok, ...others] = await judge(rows, { rules });
    assert.equal(ok?.code, "table.ok");
    assert.deepEqual(others.map(({ code, what }) => `${code} ${what}`), [
      'table.row entry "scanner@lookup": the id may not contain "@", the USERNAME_DELIMITER',
      'table.row entry "own": from_email is not in allowed_senders; ' +
      "from_email is not in ALLOWED_SENDERS",
      'table.row entry "all": from_email is not in ALLOWED_SENDERS',
    ]);
    assert.match(
      others[0]!.fix!,
      /another id, because no login can name this one: smtp-oauth-relay lookup delete scanner@lookup$/,
    );
    assert.match(
      others[1]!.fix!,
      /^correct it with: smtp-oauth-relay lookup set own from_email=VALUE$/,
    );
  });

  it("with mistakes are named up to ten, and the others counted", async () => {
    const many = Array.from({ length: 25 }, (_, i) => row(String(i), { tenant_id: "?" }));
    const found = await judge(many);
    assert.equal(found.length, 1 + 10 + 1);
    assert.equal(found.at(-1)!.what, "15 more entries have a mistake");
  });
});
