/**
 * Guard, lookup and tokens together on a fake clock: what old secrets and guesses cost Entra ID
 * and the table, and how soon an administrator's correction takes effect.
 */
import { usernameKey } from "../../src/accounts/username.ts";
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Accounts } from "../../src/accounts/accounts.ts";
import { DevicePasswords } from "../../src/accounts/device_passwords.ts";
import { Entries } from "../../src/accounts/entries.ts";
import { LoginGuard } from "../../src/limits/login_guard.ts";
import { refusalFor, unreachable } from "../../src/entra/entra_errors.ts";
import { TokenSource } from "../../src/entra/tokens.ts";
import { Secret } from "../../src/secret.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { tokenOf } from "../support/submissions.ts";
import { CLIENT, SCOPE, TENANT } from "../support/logins.ts";

const HERE = "192.0.2.1";
const WRONG = refusalFor({ status: 401, error: "invalid_client", numbers: [7000215] });

/** The username of one of many apps. */
function app(number: number): string {
  return `${TENANT}@00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
}

function open(rows: Record<string, Record<string, unknown>> = {}) {
  const clock = new FakeClock();
  const now = () => clock.now();
  /** The times of requests to Entra ID and the table. */
  const asked = { entra: [] as number[], table: [] as number[] };
  const state = { down: false, good: new Set(["good"]) };
  const tokens = new TokenSource({
    maxAge: 3_600_000,
    clock,
    request(credentials) {
      assert.ok("clientSecret" in credentials);
      const { clientSecret } = credentials;
      asked.entra.push(now());
      if (state.down) return Promise.resolve(unreachable("ECONNREFUSED", "refused"));
      if (!state.good.has(clientSecret.reveal())) return Promise.resolve(WRONG);
      return Promise.resolve({
        ...tokenOf("t"),
        fetchedAt: now(),
        expiresAt: now() + 3_600_000,
        roles: ["Mail.Send"],
      });
    },
  });
  const entries = new Entries({
    maxAge: "off",
    clock: { now, alarm: () => () => {} },
    source: {
      find(id) {
        asked.table.push(now());
        const columns = rows[id];
        return Promise.resolve(columns && { id, columns });
      },
      findByClient: () => Promise.resolve([]),
    },
  });
  // Derivations that cost nothing.
  const passwords = new DevicePasswords({
    derive: () => Promise.resolve(new Uint8Array(32).fill(1)),
  });
  const accounts = new Accounts({ delimiter: "@", tokens, scope: SCOPE, entries, passwords });
  const guard = new LoginGuard({
    rate: { most: 10, window: 60_000 },
    accountOf: (username) => usernameKey(username, "@"),
    clock,
    login: (credentials, context) => accounts.login(credentials, context),
  });
  const login = async (username: string, password: string) => {
    const credentials = { mechanism: "PLAIN", username, password: new Secret(password) } as const;
    return (await guard.login(credentials, HERE)).reply.code;
  };
  return { clock, asked, state, login };
}

/** The maximum in any minute. */
function mostInAMinute(times: readonly number[]): number {
  return Math.max(
    0,
    ...times.map((from) => {
      return times.filter((at) => at >= from && at < from + 60_000).length;
    }),
  );
}

describe("devices with old secrets", () => {
  it("lock no other device out, and cost Entra ID two requests a minute each", async () => {
    const { clock, asked, login } = open();
    const honest: number[] = [];
    for (let second = 0; second < 300; second++) {
      if (second % 3 === 0) {
        assert.equal(await login(app(1), "old"), 535);
        assert.equal(await login(app(2), "old"), 535);
      }
      if (second % 20 === 7) honest.push(await login(app(100 + second), "good"));
      clock.pass(1000);
    }
    assert.deepEqual(honest, Array(15).fill(235));
    assert.equal(asked.entra.length, 15 + 2 * 10);
  });

  it("log in immediately with the new one, whatever the old one caused", async () => {
    const { clock, state, login } = open();
    for (let i = 0; i < 30; i++) {
      assert.equal(await login(app(1), "old"), 535);
      clock.pass(100);
    }
    state.good.add("new");
    assert.equal(await login(app(1), "new"), 235);
  });

  it("whose secret has become valid log in half a minute later", async () => {
    const { clock, state, login } = open();
    assert.equal(await login(app(1), "old"), 535);
    state.good.add("old");
    clock.pass(29_999);
    assert.equal(await login(app(1), "old"), 535);
    clock.pass(1);
    assert.equal(await login(app(1), "old"), 235);
  });

  it("cause no more requests while Entra ID cannot be reached", async () => {
    const { clock, asked, state, login } = open();
    assert.equal(await login(app(1), "old"), 535);
    clock.pass(30_000);
    state.down = true;
    const before = asked.entra.length;
    const codes = new Set<number>();
    for (let i = 0; i < 60; i++) codes.add(await login(app(1), "old"));
    assert.deepEqual([...codes], [454, 535]);
    assert.equal(asked.entra.length - before, 10);
  });
});

describe("guesses from one address", () => {
  for (const [what, guesses] of [["a thousand", 1000], ["sixty, all remembered", 60]] as const) {
    it(`that cycle through ${what}, cost Entra ID twenty requests a minute at most`, async () => {
      const { clock, asked, login } = open();
      for (let second = 0, guess = 0; second < 1200; second++) {
        for (let i = 0; i < 10; i++) await login(app(guess++ % guesses), "guess");
        clock.pass(1000);
      }
      assert(mostInAMinute(asked.entra) <= 20, `${mostInAMinute(asked.entra)} in a minute`);
    });

    it(`at ids, ${what}, cost the table 110 queries a minute at most`, async () => {
      const { clock, asked, login } = open();
      for (let second = 0, guess = 0; second < 1200; second++) {
        for (let i = 0; i < 10; i++) await login(`id${guess++ % guesses}@lookup`, "guess");
        clock.pass(1000);
      }
      assert(mostInAMinute(asked.table) <= 110, `${mostInAMinute(asked.table)} in a minute`);
      assert.equal(asked.entra.length, 0);
    });
  }
});

describe("an entry that is corrected", () => {
  const ids = { tenant_id: TENANT, client_id: CLIENT };

  it("accepts its device at the next attempt, 2 s after the last read", async () => {
    const faults: Record<string, Record<string, unknown> | undefined> = {
      missing: undefined,
      disabled: { ...ids, disabled: true },
      mistaken: { ...ids, from_email: "nobody" },
    };
    for (const [what, columns] of Object.entries(faults)) {
      const rows: Record<string, Record<string, unknown>> = columns ? { printer: columns } : {};
      const { clock, asked, login } = open(rows);
      for (let i = 0; i < 20; i++) {
        assert.equal(await login("printer@lookup", "good"), 535, what);
        clock.pass(3000);
      }
      rows["printer"] = ids;
      assert.equal(await login("printer@lookup", "good"), 235, what);
      assert.equal(asked.table.length, 21, what);
    }
  });

  it("accepts it next to two devices with old secrets that use the same entries", async () => {
    const rows: Record<string, Record<string, unknown>> = { a: ids, b: ids };
    const { clock, login } = open(rows);
    for (let second = 0; second < 60; second++) {
      for (const id of ["a", "b"]) assert.equal(await login(`${id}@lookup`, "old"), 535);
      assert.equal(await login("printer@lookup", "good"), 535);
      clock.pass(second < 2 ? 500 : 3000);
    }
    rows["printer"] = ids;
    assert.equal(await login("printer@lookup", "good"), 235);
  });
});
