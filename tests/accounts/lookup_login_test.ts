/** Logins by the lookup table, with the simulated Entra ID. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { Account, LoginFailure, LoginResult } from "../../src/accounts/account.ts";
import type { AccountsOptions } from "../../src/accounts/accounts.ts";
import { Entries } from "../../src/accounts/entries.ts";
import { senderCheck, SenderRules } from "../../src/accounts/senders.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import { SandboxTable } from "../../src/sandbox/imitated_table.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, type Logins, openLogins, SCOPE, TENANT, USERNAME } from "../support/logins.ts";

const OTHER = "99999999-2222-4333-8444-555555555555";
const IDS = { tenant_id: TENANT, client_id: CLIENT };
/** The one reply to all that fail by an id, whatever the reason (CWE-204). */
const WRONG = /^535 5\.7\.8 The username or the password is wrong, or the account may not log in; /;

let cloud: CloudServer;
const opened: Logins[] = [];
before(async () => {
  cloud = await startCloud();
});
afterEach(() => {
  for (const logins of opened.splice(0)) logins.close();
});
after(() => cloud.close());

type Row = Record<string, unknown>;
type Rows = Record<string, Row>;

/** Logins with a table of these rows, which the test may change, and its clock. */
function open(
  rows: Rows,
  options: Partial<Omit<AccountsOptions, "tokens" | "delimiter" | "scope">> = {},
) {
  const clock = { now: 0 };
  /** The ids of all queries. */
  const asked: string[] = [];
  const source = {
    find(id: string) {
      asked.push(id);
      return table().find(id);
    },
    findByClient: () => table().findByClient(),
  };
  const table = () =>
    new SandboxTable(Object.entries(rows).map(([id, columns]) => ({ id, columns })));
  const entries = new Entries({
    source,
    maxAge: "off",
    clock: { now: () => clock.now, alarm: () => () => {} },
  });
  const logins = openLogins(cloud.authority, { accounts: { entries, ...options } });
  opened.push(logins);
  /** MAIL's check. @param allowed ALLOWED_SENDERS */
  const checkOf = (result: LoginResult, allowed?: SenderList) => {
    assert(result.type === "account");
    const { account, authorization } = result;
    const refresh = (account: Account) => logins.accounts.refresh(account);
    return senderCheck(account, { authorization, policy: new SenderRules(allowed), refresh });
  };
  return { ...logins, clock, asked, checkOf };
}

function line({ reply }: { readonly reply: LoginResult["reply"] }): string {
  return formatReply(reply).trim();
}

function account(result: LoginResult): Account {
  assert(result.type === "account", JSON.stringify(result));
  return result.account;
}

describe("a login of the form id@lookup", () => {
  it("becomes the entry's tenant and client; the password is that app's secret", async () => {
    const { login } = open({ printer: { ...IDS, from_email: "p@x.test", from_name: "Printer" } });
    const result = await login("printer@lookup", "a secret");
    assert.deepEqual(account(result), {
      tenantId: TENANT,
      clientId: CLIENT,
      entry: { id: "printer", foundBy: "id" },
      fromEmail: "p@x.test",
      fromName: "Printer",
    });
    assert(result.type === "account");
    const token = await result.authorization.token(SCOPE);
    assert("value" in token);
    assert.equal(cloud.entra.verify(token.value.reveal())?.client, CLIENT);
    assert.match(
      line(await login("printer@lookup", "wrong-secret")),
      /^535 5\.7\.8 .*AADSTS7000215/,
    );
  });

  it("keeps dots in the id, and drops everything from the first one after the delimiter", async () => {
    const { login } = open({ "floor.2.printer": IDS });
    account(await login("floor.2.printer@lookup.example.com", "a secret"));
  });

  it("asks Entra ID by the tenant's domain if the entry has one", async () => {
    const { login } = open({ printer: { ...IDS, tenant_id: "contoso.example" } });
    account(await login("printer@lookup", "a secret"));
    assert.equal(cloud.entra.requests.get(`contoso.example/${CLIENT}`), 1);
  });

  it("is refused without a request to Entra ID when the table refuses it", async () => {
    const { login } = open({
      off: { ...IDS, disabled: "true" },
      bad: { ...IDS, client_id: "not-a-uuid" },
    });
    const before = cloud.seen.length;
    for (
      const [id, reply, detail] of [
        ["off", WRONG, /^entry "off" of the lookup table is disabled$/],
        ["bad", WRONG, /^entry "bad" of the lookup table: client_id must be a UUID$/],
        ["none", WRONG, /^the lookup table has no entry with this id/],
        ["a/b", /^535 5\.7\.8 The lookup id has characters that no key of a table may have$/, /./],
      ] as const
    ) {
      const result = await login(`${id}@lookup`, "a secret");
      assert.match(line(result), reply);
      assert.match((result as LoginFailure).detail, detail);
    }
    assert.match(line(await login("off@lookup", "")), /password is empty/);
    assert.equal(cloud.seen.length, before);
  });
});

describe("AZURE_TABLES_FORCE_USAGE", () => {
  it("accepts a login by tenant and client only with its entry, which then counts", async () => {
    const entryNeeded = true;
    const rows: Rows = { a: { ...IDS, from_email: "a@x.test", allowed_senders: "@x.test" } };
    const found = account(await open(rows, { entryNeeded }).login(USERNAME, "a secret"));
    assert.deepEqual([found.entry, found.fromEmail], [{ id: "a", foundBy: "client" }, "a@x.test"]);
    const refusal = new SenderRules().refusal(found, "b@y.test");
    assert.match(formatReply(refusal!), /^550 5\.7\.1 .*allowed_senders/);

    const before = cloud.seen.length;
    const missing = open({ a: { ...IDS, client_id: OTHER } }, { entryNeeded });
    assert.match(
      line(await missing.login(USERNAME, "a secret")),
      /^535 5\.7\.8 The lookup has no entry for this tenant and client$/,
    );
    const disabled = open({ a: { ...IDS, disabled: true } }, { entryNeeded });
    assert.match(line(await disabled.login(USERNAME, "a secret")), /^535 .* disabled/);
    assert.equal(cloud.seen.length, before);
  });

  it("does not affect logins by tenant and client when it is not set", async () => {
    const { login, accounts } = open({ a: { ...IDS, disabled: true, from_email: "a@x.test" } });
    const found = account(await login(USERNAME, "a secret"));
    assert.deepEqual(found, { tenantId: TENANT, clientId: CLIENT });
    assert.equal(await accounts.refresh(found), found);
  });
});

describe("ALLOWED_TENANTS", () => {
  const NO = /^535 5\.7\.8 This tenant may not use the relay$/;

  it("refuses other tenants without a request to Entra ID, in both forms of a username", async () => {
    const rows = { mine: IDS, other: { ...IDS, tenant_id: OTHER } };
    const { login } = open(rows, { allowedTenants: new Set([TENANT]) });
    account(await login(USERNAME, "a secret"));
    account(await login("mine@lookup", "a secret"));
    const before = cloud.seen.length;
    assert.match(line(await login(`${OTHER}@${CLIENT}`, "a secret")), NO);
    const result = await login("other@lookup", "a secret");
    assert.match(line(result), NO);
    assert(result.type === "refused");
    assert.equal(result.detail, `the tenant ${OTHER} is not in ALLOWED_TENANTS`);
    assert.equal(cloud.seen.length, before);
  });

  it("has to list a domain that the table uses for a tenant, which only Entra ID can resolve", async () => {
    const rows = { printer: { ...IDS, tenant_id: "Contoso.example" } };
    const result = await open(rows, { allowedTenants: new Set([TENANT]) })
      .login("printer@lookup", "a secret");
    assert.match(line(result), NO);
    assert(result.type === "refused");
    assert.match(result.detail, /must be listed by that domain$/);
    const listed = open(rows, { allowedTenants: new Set(["contoso.example"]) });
    account(await listed.login("printer@lookup", "a secret"));
  });
});

describe("an entry that has refused a login", () => {
  /** The fault of the entry, and why its logins fail. */
  const FAULTS: readonly (readonly [what: string, entry: Row | undefined, reason: RegExp])[] = [
    ["is missing", undefined, / no entry/],
    ["is disabled", { ...IDS, disabled: true }, / disabled/],
    ["has a mistake", { ...IDS, from_email: "nobody" }, /from_email must be/],
    ["has a foreign tenant", { ...IDS, tenant_id: OTHER }, /is not in ALLOWED_TENANTS/],
    [
      "has another app, that has another secret",
      { ...IDS, client_id: OTHER },
      /AADSTS7000215/,
    ],
  ];
  const assertRefused = (result: LoginResult, reason: RegExp) => {
    assert.match(line(result), /^535 /);
    assert.match((result as LoginFailure).detail, reason);
  };

  for (const [what, entry, reason] of FAULTS) {
    for (const form of ["id@lookup", "tenant and client"] as const) {
      const direct = form === "tenant and client";
      if (direct && /foreign|another app/.test(what)) continue;
      it(`because it ${what} is read again at the next login by ${form}`, async () => {
        const rows: Rows = entry === undefined ? {} : { printer: entry };
        const { login, clock } = open(rows, {
          allowedTenants: new Set([TENANT]),
          entryNeeded: direct,
        });
        const logIn = () => login(direct ? USERNAME : "printer@lookup", "a secret");
        if (entry?.["client_id"] === OTHER) {
          cloud.faults.add({ on: "token", status: 401, code: "invalid_client", number: 7000215 });
        }
        assertRefused(await logIn(), reason);
        rows["printer"] = { ...IDS, from_email: "p@x.test" };
        clock.now = 1_999;
        assertRefused(await logIn(), reason);
        clock.now = 2_000;
        const result = await logIn();
        assert.equal(account(result).fromEmail, "p@x.test");
      });
    }
  }

  it("is read again only after a minute if it was right", async () => {
    const rows: Rows = { printer: IDS };
    const { login, clock } = open(rows);
    account(await login("printer@lookup", "a secret"));
    rows["printer"] = { ...IDS, disabled: true };
    clock.now = 59_999;
    account(await login("printer@lookup", "a secret"));
    clock.now = 60_000;
    assertRefused(await login("printer@lookup", "a secret"), /disabled/);
  });

  it("is found by a username alone, as for trusted networks that it does not bind", async () => {
    const rows: Rows = { printer: IDS };
    const { login, accounts, clock } = open(rows);
    account(await login("printer@lookup", "a secret"));
    rows["printer"] = { ...IDS, from_email: "p@x.test" };
    accounts.readAgain("no username");
    accounts.readAgain("printer@lookup.example.com");
    clock.now = 2_000;
    assert.equal(account(await login("printer@lookup", "a secret")).fromEmail, "p@x.test");
  });

  it("is not read again before a message of an open session, which would wait for it", async () => {
    const { login, accounts, clock, asked } = open({ printer: IDS });
    const session = account(await login("printer@lookup", "a secret"));
    assert.match(line(await login("printer@lookup", "wrong-secret")), /^535 /);
    clock.now = 2_000;
    assert.deepEqual(await accounts.refresh(session), session);
    assert.deepEqual(asked, ["printer"]);
    account(await login("printer@lookup", "a secret"));
    assert.deepEqual(asked, ["printer", "printer"]);
  });

  it("by a message of an open session is read again at the next login as well", async () => {
    const rows: Rows = { printer: IDS };
    const { login, accounts, clock } = open(rows);
    const session = account(await login("printer@lookup", "a secret"));
    rows["printer"] = { ...IDS, disabled: true };
    clock.now = 60_000;
    assert("reply" in await accounts.refresh(session));
    rows["printer"] = IDS;
    clock.now = 62_000;
    account(await login("printer@lookup", "a secret"));
    assert("tenantId" in await accounts.refresh(session));
  });
});

describe("an account of the lookup table", () => {
  it("follows its entry within a minute, in the same session", async () => {
    const rows: Rows = { printer: { ...IDS, from_email: "old@x.test" } };
    const { login, accounts, clock } = open(rows);
    const found = account(await login("printer@lookup", "a secret"));
    const now = async (columns: Record<string, unknown> | undefined) => {
      if (columns === undefined) delete rows["printer"];
      else rows["printer"] = columns;
      clock.now += 60_000;
      return await accounts.refresh(found);
    };
    const renewed = await now({ ...IDS, from_email: "new@x.test" });
    assert("tenantId" in renewed);
    assert.equal(renewed.fromEmail, "new@x.test");
    const text = (result: Account | LoginFailure) =>
      "reply" in result ? line(result) : "an account";
    // 535 and 454 are answers to AUTH (RFC 4954 §6), not to a message.
    assert.match(text(await now({ ...IDS, disabled: true })), /^550 5\.7\.1 .* disabled/);
    assert.match(text(await now({ ...IDS, disabled: "x" })), /^550 5\.7\.1 .*mistake in disabled/);
    assert.match(text(await now(undefined)), /^550 5\.7\.1 .*no entry/);
    assert.match(text(await now({ ...IDS, client_id: OTHER })), /^451 4\.7\.0 .*log in again$/);
    assert.equal(text(await now(IDS)), "an account");
  });

  it("survives JSON, and can then be refreshed, checked and used to send", async () => {
    const columns = {
      ...IDS,
      from_name: "Printer",
      allowed_senders: "a@x.test, @y.test",
    };
    for (const name of ["printer@lookup", USERNAME]) {
      const rows: Rows = { printer: columns, another: { ...IDS, client_id: OTHER } };
      const { login, accounts, clock, checkOf } = open(rows, { entryNeeded: true });
      const result = await login(name, "a secret");
      assert(result.type === "account");
      const stored = JSON.parse(JSON.stringify(result.account)) as Account;
      assert.deepEqual(stored, {
        tenantId: TENANT,
        clientId: CLIENT,
        entry: { id: "printer", foundBy: name === USERNAME ? "client" : "id" },
        fromName: "Printer",
        allowedSenders: "a@x.test, @y.test",
      });
      // From the stored data alone, by other objects than the login's.
      assert.deepEqual(await accounts.refresh(stored), stored);
      const check = checkOf({ ...result, account: stored });
      assert.equal(check("a@x.test"), undefined);
      assert.equal(check("b@y.test"), undefined);
      assert.equal(check("b@x.test")?.code, 550);
      assert("value" in await result.authorization.token(SCOPE));
      rows["printer"] = { ...columns, from_email: "p@x.test", allowed_senders: "" };
      clock.now += 60_000;
      const { allowedSenders: _, ...unlisted } = stored;
      assert.deepEqual(await accounts.refresh(stored), { ...unlisted, fromEmail: "p@x.test" });
      rows["printer"] = { ...columns, disabled: true };
      clock.now += 60_000;
      const disabled = await accounts.refresh(stored);
      assert("reply" in disabled);
      assert.match(line(disabled), /^550 5\.7\.1 .* disabled/);
    }
  });

  it("that was queued before the settings were made stricter has to obey them", async () => {
    const rows: Rows = { printer: { ...IDS, from_email: "p@x.test" } };
    const stored = account(await open(rows).login(USERNAME, "a secret"));
    assert.equal(stored.entry, undefined);
    assert.equal(await open(rows).accounts.refresh(stored), stored);
    const needed = await open(rows, { entryNeeded: true }).accounts.refresh(stored);
    assert("tenantId" in needed && needed.fromEmail === "p@x.test");
    const none = await open({}, { entryNeeded: true }).accounts.refresh(stored);
    assert("reply" in none && none.type === "refused");
    const foreign = await open(rows, { allowedTenants: new Set([OTHER]) }).accounts.refresh(stored);
    assert("reply" in foreign);
    assert.match(line(foreign), /^550 5\.7\.1 This tenant may not use the relay/);
  });

  it("found by tenant and client is that of the first entry that is not disabled", async () => {
    const rows: Rows = { a: IDS, b: { ...IDS, from_email: "b@x.test" } };
    const { login, accounts, clock } = open(rows, { entryNeeded: true });
    const session = account(await login(USERNAME, "a secret"));
    assert.equal(session.entry?.id, "a");
    rows["a"] = { ...IDS, disabled: true };
    clock.now += 60_000;
    const now = await accounts.refresh(session);
    assert("tenantId" in now);
    assert.deepEqual(now.entry, { id: "b", foundBy: "client" });
  });

  it("found by its id changes to another app when the entry names another tenant", async () => {
    const rows: Rows = { printer: IDS };
    const { login, accounts, clock } = open(rows);
    const session = account(await login("printer@lookup", "a secret"));
    rows["printer"] = { ...IDS, tenant_id: OTHER };
    clock.now += 60_000;
    const now = await accounts.refresh(session);
    assert("reply" in now);
    assert.match(line(now), /^451 4\.7\.0 .*log in again$/);
  });

  it("refuses at MAIL a sender not on its lists, and reads the entry again then", async () => {
    const rows: Rows = { printer: { ...IDS, allowed_senders: "a@x.test" } };
    const { login, clock, checkOf } = open(rows);
    const check = checkOf(await login("printer@lookup", "a secret"), SenderList.parse("@x.test"));
    assert.equal(check("A@x.test"), undefined);
    assert.match(
      formatReply(check("b@x.test")!),
      /^550 5\.7\.1 .*in allowed_senders of this account/,
    );
    assert.match(formatReply(check("a@y.test")!), /^550 5\.7\.1 .*not in ALLOWED_SENDERS/);
    rows["printer"] = { ...IDS, allowed_senders: "b@x.test" };
    clock.now = 60_000;
    assert.notEqual(check("b@x.test"), undefined);
    // The entry is read again after the reply.
    for (let i = 0; i < 100 && check("b@x.test") !== undefined; i++) await Promise.resolve();
    assert.equal(check("b@x.test"), undefined);
  });

  it("whose entry has from_email may use any sender at MAIL", async () => {
    const { login, checkOf } = open({
      printer: { ...IDS, from_email: "p@x.test", allowed_senders: "@x.test" },
    });
    const check = checkOf(await login("printer@lookup", "a secret"));
    assert.equal(check("printer@localhost"), undefined);
  });
});
