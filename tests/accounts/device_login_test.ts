/**
 * Logins of devices with a password of their own: the relay verifies it and asks Entra ID with a credential of its
 * own. What fails tells nothing about which ids exist (CWE-204, CWE-208): one reply, after the same work.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Account, LoginFailure, LoginResult } from "../../src/accounts/account.ts";
import { Accounts, type AccountsOptions } from "../../src/accounts/accounts.ts";
import { DevicePasswords } from "../../src/accounts/device_passwords.ts";
import { Entries } from "../../src/accounts/entries.ts";
import { makePassword } from "../../src/accounts/made_password.ts";
import type { Delimiter } from "../../src/accounts/username.ts";
import type { AppCredentials } from "../../src/entra/app_credentials.ts";
import {
  credentialUnset,
  type EntraRefusal,
  refusalFor,
  unreachable,
} from "../../src/entra/entra_errors.ts";
import { TokenSource } from "../../src/entra/tokens.ts";
import { Secret } from "../../src/secret.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { CLIENT, SCOPE, TENANT, USERNAME } from "../support/logins.ts";
import { deriveFast, hashOf } from "../support/passwords.ts";
import { tokenOf } from "../support/submissions.ts";

const IDS = { tenant_id: TENANT, client_id: CLIENT };
const OTHER = "99999999-2222-4333-8444-555555555555";
const PASSWORD = "a device's password";
const SENDER = { ...IDS, credential: "certificate", from_email: "scanner@example.com" };
const SCRYPT = { ...SENDER, password_hash: hashOf(PASSWORD, "fast") };
const SHA256 = { ...SENDER, password_hash: hashOf(PASSWORD, "sha256") };
const MINUTE = 60_000;

type Row = Record<string, unknown>;
type Rows = Record<string, Row>;
type Answer = (credentials: AppCredentials) => EntraRefusal | undefined;

interface Setup extends Partial<Pick<AccountsOptions, "entryNeeded" | "allowedTenants" | "known">> {
  readonly rows: Rows;
  /** Those of LOOKUP_FILE. */
  readonly file?: Rows;
  readonly delimiter?: Delimiter;
  readonly entra?: Answer;
}

function open({ rows, file, delimiter = "@", entra = () => undefined, ...more }: Setup) {
  const clock = { now: 0 };
  const asked = { entra: [] as AppCredentials[], table: [] as string[] };
  const state = { derived: 0, entra, down: false };
  const tokens = new TokenSource({
    maxAge: 3_600_000,
    request(credentials) {
      asked.entra.push(credentials);
      return Promise.resolve(state.entra(credentials) ?? tokenOf("t"));
    },
  });
  const rowsNow = () => Object.entries(rows).map(([id, columns]) => ({ id, columns }));
  const entries = new Entries({
    maxAge: 3_600_000,
    clock: { now: () => clock.now, alarm: () => () => {} },
    ...(file === undefined ? {} : {
      file: {
        find: (id) => file[id] && { id, columns: file[id] },
        findByClient: () => [],
        doubt() {},
        beforeLogin: () => Promise.resolve(),
      },
    }),
    source: {
      find(id) {
        asked.table.push(id);
        return Promise.resolve(rowsNow().find((row) => row.id === id));
      },
      findByClient: () => Promise.resolve(rowsNow()),
    },
  });
  const passwords = new DevicePasswords({
    derive(password, salt) {
      state.derived++;
      return deriveFast(password, salt);
    },
  });
  const accounts = new Accounts({ delimiter, tokens, scope: SCOPE, entries, passwords, ...more });
  const login = (username: string, password: string = PASSWORD) =>
    accounts.login({ mechanism: "PLAIN", username, password: new Secret(password) });
  return { clock, asked, state, accounts, login, tokens };
}

function line({ reply }: { readonly reply: LoginResult["reply"] }): string {
  return formatReply(reply).trim();
}

function loggedIn(result: LoginResult): Extract<LoginResult, { readonly type: "account" }> {
  assert(result.type === "account", JSON.stringify(result));
  return result;
}

function failed(result: LoginResult): LoginFailure {
  assert(result.type !== "account");
  return result;
}

const WRONG =
  "535 5.7.8 The username or the password is wrong, or the account may not log in; see the relay's log";

describe("a device with its own password", () => {
  for (const delimiter of ["@", ":", "|"] as const) {
    for (const id of ["scanner", "scanner@printers.example", "Scanner 2, floor 3"]) {
      for (const [kind, row] of [["scrypt", SCRYPT], ["SHA-256", SHA256]] as const) {
        it(`logs in as ${id}, whatever the delimiter (${delimiter}), with ${kind}`, async () => {
          const { login, asked } = open({ rows: { [id]: row }, delimiter });
          const names = id.includes(delimiter) ? [id] : [id, `${id}${delimiter}lookup`];
          for (const name of names) {
            const { account, reply } = loggedIn(await login(name));
            assert.equal(reply.code, 235);
            assert.deepEqual(account, {
              tenantId: TENANT,
              clientId: CLIENT,
              entry: { id, foundBy: "id" },
              fromEmail: "scanner@example.com",
              credential: "certificate",
            });
          }
          // One request: the login is cached by the app and the credential.
          assert.deepEqual(asked.entra, [
            { tenantId: TENANT, clientId: CLIENT, credential: "certificate" },
          ]);
        });
      }
    }
  }

  it("may have two passwords at once, for a change without an outage", async () => {
    const rows: Rows = { scanner: { ...SCRYPT, password_hash_next: hashOf("the next", "sha256") } };
    const { login } = open({ rows });
    loggedIn(await login("scanner"));
    loggedIn(await login("scanner", "the next"));
    assert.equal(line(await login("scanner", "another")), WRONG);
  });

  it("misses no login while its password is changed: both, then the new one", async () => {
    const rows: Rows = {};
    const { login, clock } = open({ rows });
    const devices = Array.from({ length: 20 }, (_, i) => `scanner${i}`);
    const old = { ...SENDER, password_hash: hashOf("old", "fast") };
    const next = hashOf("new", "sha256");
    /** For a minute each, with the passwords that devices use meanwhile. */
    const minutes: readonly (readonly [row: Row, passwords: readonly string[]])[] = [
      [old, ["old"]],
      [{ ...old, password_hash_next: next }, ["old"]],
      [{ ...old, password_hash_next: next }, ["old", "new", "old"]],
      [{ ...SENDER, password_hash: next }, ["new"]],
    ];
    for (const [row, passwords] of minutes) {
      for (const id of devices) rows[id] = row;
      for (let second = 0; second < 60; second += 10) {
        clock.now += 10_000;
        const logins = devices.flatMap((id) => passwords.map((password) => login(id, password)));
        for (const result of await Promise.all(logins)) loggedIn(result);
      }
    }
    assert.equal(line(await login("scanner0", "old")), WRONG);
  });

  it("costs no derivation again while its entry has the hash, and fails when that is gone", async () => {
    const rows: Rows = { scanner: SCRYPT };
    const { login, state, clock } = open({ rows });
    for (let i = 0; i < 10; i++) loggedIn(await login(i % 2 === 0 ? "scanner" : "scanner@lookup"));
    assert.equal(state.derived, 1);
    rows["scanner"] = { ...SCRYPT, password_hash: hashOf("another", "fast") };
    clock.now += MINUTE;
    assert.equal(line(await login("scanner")), WRONG);
    assert.equal(state.derived, 3);
  });

  it("logs in at once with a password that was set a moment ago", async () => {
    const rows: Rows = { scanner: SCRYPT };
    const { login, clock } = open({ rows });
    loggedIn(await login("scanner"));
    rows["scanner"] = { ...SHA256, password_hash: hashOf("new", "sha256") };
    clock.now += 2_000;
    loggedIn(await login("scanner", "new"));
    assert.equal(line(await login("scanner")), WRONG, "the old one");
  });

  it("is found by the id alone only where no other form fits, and where that has a password", async () => {
    const rows: Rows = {
      [USERNAME]: SHA256,
      "printer@lookup": SHA256,
      "printer": { ...IDS, from_email: "p@example.com" },
    };
    const { login, asked } = open({ rows });
    loggedIn(await login(USERNAME, "a secret"));
    loggedIn(await login("printer@lookup", "a secret"));
    assert.deepEqual(asked.table, ["printer"]);
    assert(asked.entra.every((credentials) => "clientSecret" in credentials));
    assert.equal(line(await login("printer", "a secret")), WRONG);
  });
});

describe("a login by an id that fails", () => {
  const ROWS: Rows = {
    scrypt: SCRYPT,
    sha256: SHA256,
    both: { ...SCRYPT, password_hash_next: hashOf("next", "sha256") },
    two: { ...SCRYPT, password_hash_next: hashOf("next", "fast") },
    disabled: { ...SCRYPT, disabled: true },
    malformed: { ...SCRYPT, credential: "certificat" },
    unbound: { ...SCRYPT, from_email: "" },
    classic: IDS,
    "at@printers.example": SCRYPT,
  };
  const CASES: readonly (readonly [username: string, code: string | undefined, reason: RegExp])[] =
    [
      ["nobody@lookup", "NO_ENTRY", /no entry with this id/],
      [
        "nobody",
        undefined,
        /^the lookup table has no entry with this id .*, and the username has no "@"; expected /,
      ],
      [
        "ann@printers.example",
        undefined,
        /^the lookup table has no .*, and the tenant id is neither /,
      ],
      [
        `${TENANT}@printer`,
        undefined,
        /^the lookup table has no .*, and the client id is neither /,
      ],
      ["scrypt@lookup", "WRONG_PASSWORD", /^it is not the password of entry "scrypt"/],
      ["sha256@lookup", "WRONG_PASSWORD", /"sha256"/],
      ["both@lookup", "WRONG_PASSWORD", /"both"/],
      ["two@lookup", "WRONG_PASSWORD", /"two"/],
      ["scrypt", "WRONG_PASSWORD", /"scrypt"/],
      ["at@printers.example", "WRONG_PASSWORD", /"at@printers\.example"/],
      ["disabled@lookup", "ENTRY_DISABLED", /"disabled" of the lookup table is disabled/],
      ["disabled", "ENTRY_DISABLED", /"disabled" of the lookup table is disabled/],
      ["malformed@lookup", "ENTRY_MALFORMED", /credential must be one of/],
      ["malformed", "ENTRY_MALFORMED", /credential must be one of/],
      ["unbound", "ENTRY_MALFORMED", /from_email must be set where there is a password_hash/],
      ["classic", "NO_PASSWORD_HASH", /^entry "classic" .* has no password_hash/],
    ];
  for (const [username, code, reason] of CASES) {
    it(`as ${username} gets the one reply after the same work; the log has the reason`, async () => {
      const { login, state, asked } = open({ rows: ROWS });
      const result = failed(await login(username, "a wrong password"));
      assert.equal(line(result), WRONG);
      assert.equal(result.type, "refused");
      assert.deepEqual([state.derived, asked.table.length, asked.entra.length], [2, 1, 0]);
      assert.equal(result.code, code);
      assert.match(result.detail, reason);
      assert(!/scrypt\$|sha256\$|a wrong password/.test(JSON.stringify(result)));
      // Again, with another guess, which reads no entry within two seconds.
      assert.equal(line(await login(username, "another")), WRONG);
      assert.deepEqual([state.derived, asked.table.length, asked.entra.length], [4, 1, 0]);
    });
  }

  it("causes as many queries for an id whose device has just logged in as for another", async () => {
    for (const username of ["scrypt", "nobody"]) {
      const { login, asked, clock } = open({ rows: ROWS });
      loggedIn(await login("scrypt"));
      const counts: number[] = [];
      for (let i = 0; i < 4; i++) {
        clock.now += 5_000;
        const before = asked.table.length;
        await login(username, `guess ${i}`);
        counts.push(asked.table.length - before);
      }
      assert.deepEqual(counts, [1, 1, 1, 1], username);
    }
  });

  it("causes as many queries to the table for an id that is in LOOKUP_FILE, and none if it is right", async () => {
    for (const username of ["scrypt", "disabled@lookup", "nobody"]) {
      const { login, asked, clock, state } = open({ rows: {}, file: ROWS });
      const counts: number[] = [];
      for (let i = 0; i < 4; i++) {
        clock.now += 5_000;
        const before = asked.table.length;
        assert.equal(line(await login(username, `guess ${i}`)), WRONG);
        counts.push(asked.table.length - before);
      }
      assert.deepEqual([counts, state.derived], [[1, 1, 1, 1], 8], username);
    }
    const { login, asked } = open({ rows: {}, file: ROWS });
    loggedIn(await login("scrypt"));
    assert.deepEqual(asked.table, []);
  });

  it("is refused before the lookup where no id can be so, or it may be a secret", async () => {
    const { login, state, asked } = open({ rows: ROWS });
    const CASES = [
      [
        "aB38Q~xYzXyZxYzXyZxYzXyZxYzXyZxYzXyZxY_1",
        /looks like a client secret: are the two swapped\?$/,
      ],
      ["kTq7RvW3mXc9PzHf4NbJ8sYd", /^535 5\.7\.8 The username has no "@"/],
      ["DOMAIN\\scanner", /^535 5\.7\.8 The username has no "@"/],
      ["x".repeat(2000), /^535 5\.7\.8 The username is too long/],
      ["", /^535 5\.7\.8 The username is empty/],
    ] as const;
    for (const [username, text] of CASES) assert.match(line(await login(username)), text);
    assert.match(line(await login("scrypt", "")), /^535 5\.7\.8 The password is empty/);
    assert.deepEqual([state.derived, asked.table, asked.entra], [0, [], []]);
  });
});

describe("a device's login", () => {
  it("is refused for a foreign tenant only after its password is known to be right", async () => {
    const rows = { scanner: SCRYPT };
    const { login, asked } = open({ rows, allowedTenants: new Set([OTHER]) });
    assert.equal(line(await login("scanner", "wrong")), WRONG);
    const result = failed(await login("scanner"));
    assert.match(line(result), /^535 5\.7\.8 This tenant may not use the relay/);
    assert.equal(result.isPasswordRight, true);
    assert.equal(asked.entra.length, 0);
  });

  const REFUSED = refusalFor({ status: 401, error: "invalid_client", numbers: [700027] });
  const OWN: readonly (readonly [what: string, refusal: EntraRefusal, text: RegExp])[] = [
    ["unset", credentialUnset("certificate"), /^454 4\.7\.0 .*CREDENTIAL_UNSET/],
    ["refused by Entra ID", REFUSED, /^454 4\.7\.0 .*AADSTS700027: /],
    [
      "refused, and known to be the relay's own",
      { ...credentialUnset("certificate"), code: "AADSTS7000222", credential: "certificate" },
      /^454 4\.7\.0 /,
    ],
  ];
  const AWAY = unreachable("ECONNREFUSED", "refused");
  const isKnown = () => Promise.resolve(false);
  const none = () => Promise.resolve();
  const known = { isKnown, succeeded: none, refused: none };

  for (const [what, refusal, text] of OWN) {
    it(`gets 454 where the relay's credential is ${what}: the device is not at fault`, async () => {
      for (const more of [{}, { known }]) {
        const rows = { scanner: SCRYPT };
        const { login, state, tokens } = open({ rows, entra: () => refusal, ...more });
        const result = failed(await login("scanner"));
        assert.match(line(result), text);
        assert.deepEqual([result.type, result.isPasswordRight], ["later", true]);
        assert.equal(line(await login("scanner", "wrong")), WRONG);
        // It works again as soon as the credential does, without a derivation.
        state.entra = () => undefined;
        tokens.renewed("certificate");
        const { derived } = state;
        if (refusal.type === "later") loggedIn(await login("scanner"));
        assert.equal(state.derived, derived);
      }
    });
  }

  it("gets 454 while Entra ID does not answer; a queue takes its mail", async () => {
    const direct = open({ rows: { scanner: SCRYPT }, entra: () => AWAY });
    const result = failed(await direct.login("scanner"));
    assert.match(line(result), /^454 4\.7\.0 .*ECONNREFUSED/);
    assert.deepEqual([result.type, result.isPasswordRight], ["later", true]);
    const queue = open({ rows: { scanner: SCRYPT, classic: IDS }, entra: () => AWAY, known });
    loggedIn(await queue.login("scanner"));
    assert.equal(line(await queue.login("scanner", "wrong")), WRONG);
    // Nobody has verified that secret.
    assert.match(line(await queue.login("classic@lookup", "a secret")), /^454 /);
  });

  it("gets 454 where the entry cannot be read", async () => {
    const source = {
      type: "trouble",
      code: "ServerBusy",
      detail: "busy",
      gone: false,
      concerns: "table",
    } as const;
    const entries = new Entries({
      maxAge: "off",
      source: { find: () => Promise.resolve(source), findByClient: () => Promise.resolve(source) },
    });
    const tokens = new TokenSource({ maxAge: 1, request: () => Promise.resolve(AWAY) });
    const accounts = new Accounts({ delimiter: "@", tokens, scope: SCOPE, entries });
    for (const username of ["scanner", "scanner@lookup"]) {
      const password = new Secret("p");
      const result = await accounts.login({ mechanism: "LOGIN", username, password });
      assert.match(line(result), /^454 4\.7\.0 .*ServerBusy/);
    }
  });

  it("is not shown to Entra ID when its entry has lost its hash, or by the old username", async () => {
    for (const length of [20, 24, 128]) {
      const made = makePassword(length);
      const rows: Rows = { scanner: { ...SENDER, password_hash: hashOf(made, "sha256") } };
      const { login, asked, clock } = open({ rows });
      loggedIn(await login("scanner@lookup", made));
      rows["scanner"] = IDS;
      clock.now += MINUTE;
      asked.entra.length = 0;
      for (
        const [username, why] of [
          ["scanner@lookup", /and entry "scanner" of the lookup has no password_hash/],
          [USERNAME, /whose username is the id of its entry/],
        ] as const
      ) {
        const result = failed(await login(username, made));
        assert.deepEqual([line(result), result.code], [WRONG, "NO_PASSWORD_HASH"]);
        assert.match(result.detail, why);
        assert(!result.detail.includes(made));
      }
      assert.deepEqual(asked.entra, []);
      // With a character that none of them has, it may be a client secret.
      loggedIn(await login("scanner@lookup", `${made}~`));
    }
  });

  it("never uses an entry with a password for a login by tenant and client (FORCE_USAGE)", async () => {
    const rows: Rows = { device: SCRYPT };
    const { login, asked, clock } = open({ rows, entryNeeded: true });
    const result = failed(await login(USERNAME, "a secret"));
    assert.equal(
      line(result),
      "535 5.7.8 The lookup has no entry for this tenant and client",
    );
    assert.match(result.detail, /"device".* has a password_hash/);
    // The same reply, whether it could be used or not.
    for (const change of [{ disabled: true }, { credential: "" }, { from_email: "" }]) {
      rows["device"] = { ...SCRYPT, ...change };
      clock.now += MINUTE;
      assert.equal(line(await login(USERNAME, "a secret")), line(result));
    }
    assert.equal(asked.entra.length, 0);
    rows["printer"] = { ...IDS, from_email: "p@example.com" };
    clock.now += MINUTE;
    assert.equal(loggedIn(await login(USERNAME, "a secret")).account.entry?.id, "printer");
  });
});

describe("a device's session", () => {
  async function session() {
    const rows: Rows = {
      scanner: { ...SCRYPT, password_hash_next: hashOf("the next", "sha256") },
    };
    const world = open({ rows });
    const { account, authorization } = loggedIn(await world.login("scanner"));
    /** The account with this row, as a session has it, and as a queued message has it. */
    const now = async (row: Row | undefined, refreshed: Account = account) => {
      if (row === undefined) delete rows["scanner"];
      else rows["scanner"] = row;
      world.clock.now += MINUTE;
      const results = [];
      for (const login of [authorization, undefined]) {
        const result = await world.accounts.refresh(refreshed, login);
        results.push("reply" in result ? line(result) : result);
      }
      return results;
    };
    return { ...world, account, rows, now };
  }

  it("goes on as long as its entry has the password that it has logged in with", async () => {
    const { account, now } = await session();
    assert.deepEqual(await now(SCRYPT), [account, account]);
    const moved = { ...SENDER, password_hash: "", password_hash_next: SCRYPT.password_hash };
    assert.deepEqual(await now(moved), [account, account]);
    const fromEmail = "other@example.com";
    const changed = { ...account, fromEmail };
    assert.deepEqual(await now({ ...SCRYPT, from_email: fromEmail }), [changed, changed]);
  });

  it("has to log in again when that is gone; mail that was accepted stays", async () => {
    const { account, now } = await session();
    const [inSession, queued] = await now({ ...SENDER, password_hash: hashOf("x", "sha256") });
    assert.equal(
      inSession,
      "451 4.7.0 The lookup's entry is of another password now: log in again",
    );
    assert.deepEqual(queued, account);
  });

  it("has to log in again with another credential, or where there is none any more", async () => {
    const { account, now } = await session();
    const AGAIN = /^451 4\.7\.0 .* log in again$/;
    const [other, queued] = await now({ ...SCRYPT, credential: "secret" });
    assert.match(String(other), AGAIN);
    assert.deepEqual(queued, { ...account, credential: "secret" });
    const [classic, unsent] = await now({ ...IDS, from_email: "scanner@example.com" });
    assert.match(String(classic), AGAIN);
    const { credential: _, ...without } = account;
    assert.deepEqual(unsent, without);
  });

  it("ends with its entry", async () => {
    const { now } = await session();
    for (const row of [undefined, { ...SCRYPT, disabled: true }]) {
      for (const result of await now(row)) assert.match(String(result), /^550 5\.7\.1 /);
    }
  });

  it("of a client with a secret has to log in again when the entry gets a password", async () => {
    const rows: Rows = { scanner: IDS };
    const { login, accounts, clock } = open({ rows });
    const { account, authorization } = loggedIn(await login("scanner@lookup", "a secret"));
    assert.deepEqual(await accounts.refresh(account, authorization), account);
    rows["scanner"] = SCRYPT;
    clock.now += MINUTE;
    const result = await accounts.refresh(account, authorization);
    assert("reply" in result);
    assert.match(line(result), /^451 4\.7\.0 .* log in again$/);
  });
});
