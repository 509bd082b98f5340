/** Logins while Entra ID does not answer: those that were good lately, and no others. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";
import { Accounts } from "../../src/accounts/accounts.ts";
import type { EntraRefusal } from "../../src/entra/entra_errors.ts";
import { TokenSource } from "../../src/entra/tokens.ts";
import { KnownLogins } from "../../src/queue/known_logins.ts";
import { Sealer } from "../../src/queue/sealing.ts";
import { StoreError } from "../../src/queue/store.ts";
import { Secret } from "../../src/secret.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { CLIENT, SCOPE, TENANT, USERNAME } from "../support/logins.ts";
import { MemoryQueue } from "../support/memory_queue.ts";
import { tokenOf } from "../support/submissions.ts";
import { HOUR, MINUTE, newSealer, noToken } from "./queue_world.ts";

const OFFLINE = 24 * HOUR;
const AWAY = noToken("later", "ECONNREFUSED");
const WRONG = noToken("refused", "AADSTS7000215");

interface Setup {
  readonly clock?: FakeClock;
  readonly store?: MemoryQueue;
  readonly sealer?: Sealer;
  readonly offline?: number | "off";
}

function setUp(setup: Setup = {}) {
  const { clock = new FakeClock(), sealer = newSealer(), offline = OFFLINE } = setup;
  const store = setup.store ?? new MemoryQueue(clock);
  const failures: unknown[] = [];
  const known = new KnownLogins({
    notes: store.notes,
    sealer,
    clock,
    times: { offline, secret: 30 * OFFLINE },
    failed: (error) => void failures.push(error),
  });
  let answer: (secret: string) => EntraRefusal | undefined = () => undefined;
  const tokens = new TokenSource({
    maxAge: HOUR,
    clock,
    request: (credentials) => {
      assert.ok("clientSecret" in credentials);
      const { clientSecret } = credentials;
      const refusal = answer(clientSecret.reveal());
      const now = clock.now();
      return Promise.resolve(
        refusal ?? { ...tokenOf("t"), fetchedAt: now, expiresAt: now + HOUR },
      );
    },
  });
  const accounts = new Accounts({ delimiter: "@", tokens, scope: SCOPE, known });
  return {
    clock,
    store,
    sealer,
    known,
    failures,
    entra: (given: typeof answer) => answer = given,
    /** @returns the code of the reply */
    login: async (secret = "good", username = USERNAME) => {
      const result = await accounts.login({
        mechanism: "PLAIN",
        username,
        password: new Secret(secret),
      });
      // What is noted is not waited for.
      for (let i = 0; i < 10; i++) await setImmediate();
      return result.reply.code;
    },
    latest: async () =>
      (await known.latestSecret({ tenantId: TENANT, clientId: CLIENT }))?.reveal(),
  };
}

describe("QUEUE_OFFLINE_LOGIN", () => {
  it("lets an account that was good lately log in while Entra ID is away", async () => {
    const { login, entra, clock } = setUp();
    assert.equal(await login(), 235);
    entra(() => AWAY);
    clock.pass(OFFLINE - 1);
    assert.equal(await login(), 235);
    clock.pass(1);
    assert.equal(await login(), 454);
  });

  it("lets nobody log in if it is off, whoever was good before", async () => {
    const before = setUp();
    assert.equal(await before.login(), 235);
    const { clock, store, sealer } = before;
    const { login, entra } = setUp({ clock, store, sealer, offline: "off" });
    entra(() => AWAY);
    assert.equal(await login(), 454);
  });

  it("counts a login again that was refused in between", async () => {
    const { login, entra, clock } = setUp();
    assert.equal(await login(), 235);
    // The token that it has is not used any more, and its login was noted within the hour.
    clock.pass(56 * MINUTE);
    entra(() => WRONG);
    assert.equal(await login(), 535);
    clock.pass(MINUTE);
    entra(() => undefined);
    assert.equal(await login(), 235);
    clock.pass(HOUR);
    entra(() => AWAY);
    assert.equal(await login(), 235);
  });

  it("counts from the last good login", async () => {
    const { login, entra, clock } = setUp();
    for (let hour = 0; hour < 50; hour++) {
      assert.equal(await login(), 235);
      clock.pass(HOUR);
    }
    entra(() => AWAY);
    clock.pass(OFFLINE - 3 * HOUR);
    assert.equal(await login(), 235);
  });

  it("counts from the last good login also if it is short", async () => {
    const { login, entra, clock } = setUp({ offline: 600_000 });
    for (let minute = 0; minute < 30; minute++) {
      assert.equal(await login(), 235);
      clock.pass(60_000);
    }
    entra(() => AWAY);
    clock.pass(400_000);
    assert.equal(await login(), 235);
  });

  it("ends on time, whatever the store says of its end, and also if the setting was made shorter", async () => {
    const { login, entra, store, sealer, clock } = setUp();
    const set = store.notes.set;
    store.notes.set = (key, value) => set(key, value, Infinity);
    assert.equal(await login(), 235);
    const shorter = setUp({ clock, store, sealer, offline: HOUR });
    for (const relay of [shorter, { login, entra }]) relay.entra(() => AWAY);
    clock.pass(HOUR - 1);
    assert.deepEqual([await shorter.login(), await login()], [235, 235]);
    clock.pass(1);
    assert.deepEqual([await shorter.login(), await login()], [454, 235]);
    clock.pass(OFFLINE - HOUR);
    assert.equal(await login(), 454);
  });

  it("holds over a restart, and finds nothing in the clear", async () => {
    const before = setUp();
    assert.equal(await before.login("a secret"), 235);
    const { clock, store, sealer } = before;
    const { login, entra } = setUp({ clock, store, sealer });
    entra(() => AWAY);
    assert.equal(await login("a secret"), 235);
    assert(store.noted.length > 0);
    for (const key of store.noted) assert.doesNotMatch(key, /secret$|a secret|aaaaaaaa|11111111/);
  });

  it("refuses another secret, and a stranger", async () => {
    const { login, entra } = setUp();
    assert.equal(await login("good"), 235);
    entra(() => AWAY);
    assert.equal(await login("good "), 454);
    assert.equal(await login("good", `${TENANT}@99999999-bbbb-4ccc-8ddd-eeeeeeeeeeee`), 454);
  });

  it("lets nobody in where it is off", async () => {
    const { login, entra, store, latest, clock } = setUp({ offline: "off" });
    assert.equal(await login(), 235);
    clock.pass(HOUR);
    entra(() => AWAY);
    assert.equal(await login(), 454);
    assert(!store.noted.some((key) => key.startsWith("login-")));
    assert.equal(await latest(), "good", "mail that waits is still sent with it");
  });

  it("forgets a secret that Entra ID refuses", async () => {
    const { login, entra, clock } = setUp();
    assert.equal(await login(), 235);
    clock.pass(2 * HOUR);
    entra(() => WRONG);
    assert.equal(await login(), 535);
    clock.pass(HOUR);
    entra(() => AWAY);
    assert.equal(await login(), 454);
    entra(() => undefined);
    assert.equal(await login(), 235);
    clock.pass(2 * HOUR);
    entra(() => AWAY);
    assert.equal(await login(), 235, "it is good again");
  });

  it("costs a write an hour for a login, and none for a stranger", async () => {
    const { login, entra, clock, store } = setUp();
    for (let i = 0; i < 10; i++) await login();
    assert.equal(store.log.length, 2, "the login and its secret");
    clock.pass(HOUR + 1);
    await login();
    assert.equal(store.log.length, 4);
    entra(() => WRONG);
    for (let i = 0; i < 10; i++) await login(`guess ${i}`);
    assert.equal(store.log.length, 4);
  });

  it("does not fail a login because it cannot be noted, and notes the next one", async () => {
    const { login, entra, store, failures, clock } = setUp();
    store.before = () => {
      throw new StoreError("EIO", "bad disk");
    };
    assert.equal(await login(), 235);
    assert.equal(failures.length, 1);
    store.before = () => {};
    assert.equal(await login(), 235);
    clock.pass(HOUR);
    entra(() => AWAY);
    assert.equal(await login(), 235);
  });

  it("lets nobody in whom the store cannot tell of", async () => {
    const { login, entra, store, clock } = setUp();
    await login();
    clock.pass(HOUR);
    entra(() => AWAY);
    store.before = () => {
      throw new StoreError("EIO", "bad disk");
    };
    assert.equal(await login(), 454);
  });

  it("holds when QUEUE_KEY gets a new first key", async () => {
    const [old, added] = [1, 2].map(() => new Secret(randomBytes(32).toString("base64")));
    const before = setUp({ sealer: new Sealer([old!]) });
    await before.login();
    const { clock, store } = before;
    const { login, entra, latest } = setUp({ clock, store, sealer: new Sealer([added!, old!]) });
    entra(() => AWAY);
    assert.equal(await login(), 235);
    assert.equal(await latest(), "good");
    const other = setUp({ clock, store, sealer: new Sealer([added!]) });
    other.entra(() => AWAY);
    assert.equal(await other.login(), 454);
  });
});

describe("the secret that an account has logged in with last", () => {
  it("is the newest one, for mail that waits", async () => {
    const { login, latest, clock } = setUp();
    assert.equal(await latest(), undefined);
    await login("first");
    assert.equal(await latest(), "first");
    await login("second");
    assert.equal(await latest(), "second");
    clock.pass(20 * OFFLINE);
    assert.equal(await latest(), "second", "as long as its mail may be held");
  });

  it("is no secret that Entra ID has not verified", async () => {
    const { login, latest, entra } = setUp();
    await login("first");
    entra(() => WRONG);
    await login("guess");
    entra(() => AWAY);
    await login("another");
    assert.equal(await latest(), "first");
  });

  it("is not read from a note that was changed", async () => {
    const { login, latest, store } = setUp();
    await login("first");
    const key = store.noted.find((name) => name.startsWith("secret-"))!;
    await store.notes.set(key, new Uint8Array(100), Infinity);
    assert.equal(await latest(), undefined);
  });
});
