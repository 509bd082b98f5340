/** Logins with a client's token: the account, and the use of the token. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type {
  Account,
  Authorization,
  LoginFailure,
  LoginResult,
} from "../../src/accounts/account.ts";
import type { AccountsOptions } from "../../src/accounts/accounts.ts";
import { ClientTokens } from "../../src/accounts/client_tokens.ts";
import { Entries } from "../../src/accounts/entries.ts";
import { senderCheck, SenderRules } from "../../src/accounts/senders.ts";
import { shortId } from "../../src/accounts/username.ts";
import { SandboxTable } from "../../src/sandbox/imitated_table.ts";
import { Secret } from "../../src/secret.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, type Logins, openLogins, SCOPE, TENANT, USERNAME } from "../support/logins.ts";
import { hashOf } from "../support/passwords.ts";
import { jwt } from "../support/tokens.ts";

const OTHER = "99999999-2222-4333-8444-555555555555";
const GRAPH = "https://graph.microsoft.com";
const HOUR = 3_600_000;

let cloud: CloudServer;
const opened: Logins[] = [];
before(async () => {
  cloud = await startCloud();
});
afterEach(() => {
  for (const logins of opened.splice(0)) logins.close();
});
after(() => cloud.close());

interface Setup
  extends Partial<Omit<AccountsOptions, "tokens" | "delimiter" | "entries" | "scope">> {
  /** The rows of the lookup table, if there is one; the test may change them. */
  readonly rows?: Record<string, Record<string, unknown>>;
}

function open({ rows, ...options }: Setup = {}) {
  const clock = { now: Date.now(), table: 0 };
  const clientTokens = new ClientTokens({
    audiences: new Set([GRAPH]),
    clock: { now: () => performance.now(), date: () => clock.now },
  });
  const table = () =>
    new SandboxTable(Object.entries(rows ?? {}).map(([id, columns]) => ({ id, columns })));
  const entries = new Entries({
    source: { find: (id) => table().find(id), findByClient: () => table().findByClient() },
    maxAge: "off",
    clock: { now: () => clock.table, alarm: () => () => {} },
  });
  const logins = openLogins(cloud.authority, {
    accounts: { clientTokens, ...(rows === undefined ? {} : { entries }), ...options },
  });
  opened.push(logins);
  return {
    clock,
    accounts: logins.accounts,
    checkOf: ({ account, authorization }: LoggedIn, allowed?: SenderList) =>
      senderCheck(account, {
        authorization,
        policy: new SenderRules(allowed),
        refresh: (account) => logins.accounts.refresh(account),
      }),
    bring: (username: string, token = tokenOf()) =>
      logins.accounts.login({ mechanism: "XOAUTH2", username, token: new Secret(token) }),
  };
}

function tokenOf(claims: Record<string, unknown> = {}, signature?: string): string {
  const exp = Math.floor((Date.now() + HOUR) / 1000);
  return jwt({ aud: GRAPH, exp, tid: TENANT, appid: CLIENT, ...claims }, signature);
}

function line({ reply }: { readonly reply: LoginResult["reply"] }): string {
  return formatReply(reply).trim();
}

type LoggedIn = Extract<LoginResult, { readonly type: "account" }>;

function loggedIn(result: LoginResult): LoggedIn {
  assert(result.type === "account", JSON.stringify(result));
  return result;
}

function accountIn(result: LoginResult): Account {
  return loggedIn(result).account;
}

async function tokenIn(authorization: Authorization) {
  const token = await authorization.token(SCOPE);
  assert("value" in token);
  return token;
}

describe("a login with a token", () => {
  it("belongs to the token's tenant and app, whatever the mail address is (RFC 4954 §6)", async () => {
    const { bring } = open();
    const before = cloud.seen.length;
    for (const name of ["ann@example.com", "", USERNAME, `${shortId(TENANT)}@${shortId(CLIENT)}`]) {
      const result = await bring(name);
      assert.equal(line(result), "235 2.7.0 Authentication successful");
      const { tenantId, clientId, entry } = accountIn(result);
      assert.deepEqual([tenantId, clientId, entry], [TENANT, CLIENT, undefined]);
    }
    assert.equal(cloud.seen.length, before, "Entra ID and Graph are not asked");
  });

  it("provides the client's token until it expires, and then requires a new login", async () => {
    const { bring, clock, checkOf } = open();
    const token = tokenOf();
    const result = loggedIn(await bring("ann@example.com", token));
    const { authorization } = result;
    assert.equal((await tokenIn(authorization)).value.reveal(), token);
    assert.equal(authorization.expiry(), undefined);
    clock.now += HOUR + 61_000;
    const expired = await authorization.token(SCOPE);
    assert("type" in expired);
    assert.deepEqual([expired.type, expired.code], ["later", "TOKEN_EXPIRED"]);
    // Also for the null reverse-path: the message would have no token.
    for (const from of ["ann@example.com", ""]) {
      const refusal = checkOf(result)(from);
      assert(refusal !== undefined);
      assert.match(formatReply(refusal), /^451 4\.7\.0 TOKEN_EXPIRED: .*log in with a new one/);
    }
    assert.match(line(await bring("ann@example.com", token)), /^535 5\.7\.8 .*TOKEN_EXPIRED/);
  });

  it("provides its token for Graph alone", async () => {
    const { bring } = open();
    const { authorization } = loggedIn(await bring("ann@example.com"));
    for (
      const scope of ["https://outlook.office365.com/.default", GRAPH, `${GRAPH}.evil/.default`]
    ) {
      const result = await authorization.token(scope);
      assert("type" in result, scope);
      assert.deepEqual([result.type, result.code], ["later", "TOKEN_AUDIENCE"]);
      assert.equal(result.reply.code, 451);
    }
    await tokenIn(authorization);
  });

  it("is unverified until Graph has accepted a message with its token", async () => {
    const { bring } = open();
    const { authorization } = loggedIn(await bring("ann@example.com"));
    const name = authorization.unverified();
    assert.ok(name !== undefined && !tokenOf().includes(name));
    const { authorization: other } = loggedIn(
      await bring("ann@example.com", tokenOf({}, "Zm9yZ2Vk")),
    );
    assert.notEqual(other.unverified(), name, "a forged token is another one");
    authorization.confirm(await tokenIn(authorization));
    assert.equal(authorization.unverified(), undefined);
    assert.equal(
      loggedIn(await bring("ann@example.com")).authorization.unverified(),
      undefined,
    );
    assert.ok(other.unverified() !== undefined, "what Graph took says nothing of the forged one");
  });

  it("ends with Graph's 401, for all sessions of this token; a 403 is about the mailbox", async () => {
    const { bring, checkOf } = open();
    const [one, two] = [loggedIn(await bring("a@b.test")), loggedIn(await bring("a@b.test"))];
    const { authorization } = one;
    authorization.reject(await tokenIn(authorization), 403);
    assert.equal(authorization.expiry(), undefined);
    authorization.reject(await tokenIn(authorization), 401);
    for (const result of [one, two]) {
      const refusal = checkOf(result)("a@b.test");
      assert.match(formatReply(refusal!), /^451 4\.7\.0 TOKEN_REFUSED: /);
      assert.ok(result.authorization.unverified() !== undefined);
    }
    assert.match(line(await bring("a@b.test")), /^535 5\.7\.8 .*TOKEN_REFUSED/);
    accountIn(await bring("a@b.test", tokenOf({}, "bmV3")));
  });

  it("counts by Graph's latest response to its token", async () => {
    const { bring } = open();
    const { authorization } = loggedIn(await bring("a@b.test"));
    const token = await tokenIn(authorization);
    authorization.confirm(token);
    authorization.reject(token, 401);
    assert.ok(authorization.unverified() !== undefined);
    assert.ok(authorization.expiry() !== undefined);
    authorization.confirm(token);
    assert.equal(authorization.unverified(), undefined);
    assert.equal(authorization.expiry(), undefined);
    loggedIn(await bring("a@b.test"));
  });

  const REFUSED: readonly [what: string, name: string, token: string, reply: RegExp][] = [
    ["another tenant in the username", `${OTHER}@${CLIENT}`, tokenOf(), /TOKEN_MISMATCH: the user/],
    ["another app in the username", `${TENANT}@${OTHER}`, tokenOf(), /TOKEN_MISMATCH: the user/],
    ["a username of no form", "ann", tokenOf(), /neither a mail address nor/],
    [
      "a lookup without a table",
      "printer@lookup",
      tokenOf(),
      /need LOOKUP_FILE or AZURE_TABLES_URL/,
    ],
    ["another audience", "a@b.test", tokenOf({ aud: "https://x" }), /TOKEN_AUDIENCE/],
    ["an expired token", "a@b.test", tokenOf({ exp: 1 }), /TOKEN_EXPIRED: .* 1970-01-01T00:00:01/],
    ["no JWT", "a@b.test", "any-secret", /TOKEN_MALFORMED: the token is not a JWT/],
    [
      "no tenant",
      "a@b.test",
      tokenOf({ tid: undefined }),
      /TOKEN_MALFORMED: .* no valid tid claim/,
    ],
  ];
  for (const [what, name, token, reply] of REFUSED) {
    it(`gets 535 5.7.8 with ${what}, and the token in no field of the result`, async () => {
      const result = await open().bring(name, token);
      assert(result.type === "refused");
      assert.match(line(result), /^535 5\.7\.8 /);
      assert.match(line(result), reply);
      assert.ok(!JSON.stringify(result).includes(token));
    });
  }

  it("must belong to a tenant of ALLOWED_TENANTS", async () => {
    const { bring } = open({ allowedTenants: new Set([TENANT]) });
    accountIn(await bring("ann@example.com"));
    const foreign = await bring("ann@example.com", tokenOf({ tid: OTHER }));
    assert.match(line(foreign), /^535 5\.7\.8 This tenant may not use the relay/);
  });

  it("may send as the addresses of ALLOWED_SENDERS only", async () => {
    const { bring, checkOf } = open();
    const allowed = SenderList.parse("@example.com");
    const check = checkOf(loggedIn(await bring("ann@evil.test")), allowed);
    assert.equal(check("ann@example.com"), undefined);
    assert.equal(check("ann@evil.test")?.code, 550);
  });

  it("needs an entry of its tenant and app with AZURE_TABLES_FORCE_USAGE, and follows it", async () => {
    const rows: Record<string, Record<string, unknown>> = {};
    const { bring, clock, accounts, checkOf } = open({ rows, entryNeeded: true });
    const without = await bring("ann@example.com");
    assert.match(line(without), /^535 5\.7\.8 The lookup has no entry for this tenant/);
    rows["app"] = { tenant_id: TENANT, client_id: CLIENT, allowed_senders: "ann@example.com" };
    clock.table += 60_000;
    const result = loggedIn(await bring("ann@example.com"));
    assert.equal(result.account.entry?.id, "app");
    assert.equal(checkOf(result)("bob@example.com")?.code, 550);
    // It may be disabled meanwhile.
    rows["app"] = { ...rows["app"], disabled: true };
    clock.table += 60_000;
    const now = await accounts.refresh(result.account);
    assert("reply" in now);
    assert.match(line(now), /^550 5\.7\.1 /);
  });

  it("of the form id@lookup has the entry's sender, if the entry matches the token", async () => {
    const rows = {
      mine: { tenant_id: TENANT, client_id: CLIENT, from_email: "device@example.com" },
      foreign: { tenant_id: OTHER, client_id: CLIENT },
      other: { tenant_id: TENANT, client_id: OTHER },
      domain: { tenant_id: "contoso.com", client_id: CLIENT },
      disabled: { tenant_id: TENANT, client_id: CLIENT, disabled: true },
      device: {
        ...{ tenant_id: TENANT, client_id: CLIENT, from_email: "device@example.com" },
        ...{ password_hash: hashOf("a password", "sha256"), credential: "certificate" },
      },
    };
    const { bring } = open({ rows });
    const { account: { entry, fromEmail }, authorization } = loggedIn(await bring("mine@lookup"));
    assert.deepEqual([entry?.id, fromEmail], ["mine", "device@example.com"]);
    assert.ok(authorization.unverified() !== undefined);
    for (const id of ["foreign", "other"]) {
      assert.match(line(await bring(`${id}@lookup`)), /^535 5\.7\.8 .*TOKEN_MISMATCH/, id);
    }
    assert.match(line(await bring("domain@lookup")), /TOKEN_MISMATCH: .* domain as its tenant_id/);
    // Anybody can write a token, which must not tell which ids exist; nor does it log in as a device.
    const reasons = { disabled: / is disabled$/, nobody: / no entry /, device: /no token can$/ };
    for (const [id, reason] of Object.entries(reasons)) {
      const result = await bring(`${id}@lookup`);
      assert.match(line(result), /^535 5\.7\.8 The username or the password is wrong, /, id);
      assert.match((result as LoginFailure).detail, reason);
    }
  });
});
