/**
 * Password guessing on a fake clock: which logins are checked, refused or
 * delayed, and that credentials that have worked are never affected.
 */
import { usernameKey } from "../../src/accounts/username.ts";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { Authorization, LoginResult } from "../../src/accounts/account.ts";
import { Steps } from "../../src/delivery/steps.ts";
import { QUEUE_TIMEOUT } from "../../src/limits/unverified_login_queue.ts";
import { KNOWN_FOR, type LimitedLogin, LoginGuard } from "../../src/limits/login_guard.ts";
import type { Rate } from "../../src/limits/rate_limit.ts";
import { Secret } from "../../src/secret.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import { secretIn } from "../../src/smtp/sasl.ts";
import { FakeClock } from "../support/fake_clock.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const TENANT = "11111111-2222-4333-8444-555555555555";
/** Two addresses that no router forwards (RFC 5737). */
const HERE = "192.0.2.1";
const THERE = "192.0.2.2";

const ACCOUNT = { tenantId: TENANT, clientId: TENANT };

/** @param name while no service has verified the login */
function withName(name: string | undefined): Authorization {
  return { unverified: () => name } as Authorization;
}

const RESULTS: Readonly<Record<string, LoginResult>> = {
  right: {
    type: "account",
    account: ACCOUNT,
    authorization: withName(undefined),
    reply: REPLIES.authenticated,
  },
  unverified: {
    type: "account",
    account: ACCOUNT,
    authorization: withName("a token"),
    reply: REPLIES.authenticated,
  },
  wrong: { type: "refused", reply: reply(535, "5.7.8", "Wrong"), detail: "wrong" },
  later: { type: "later", reply: reply(454, "4.7.0", "Later"), detail: "later" },
  /** A device's own password, while the relay's own credential fails. */
  unserved: {
    type: "later",
    reply: reply(454, "4.7.0", "Later"),
    detail: "later",
    isPasswordRight: true,
  },
};

/** The username of one of many apps. */
function username(number: number): string {
  return `${TENANT}@00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
}

interface Question {
  readonly username: string;
  answer(): void;
}

function open(rate: Rate | "off" = { most: 10, window: MINUTE }) {
  const clock = new FakeClock();
  const state = {
    /** Passwords with another result than their first word. */
    meanings: new Map<string, keyof typeof RESULTS>(),
    /** Whether a response waits until the test gives it. */
    held: false,
    asked: 0,
    most: 0,
  };
  const open: Question[] = [];
  const guard = new LoginGuard({
    rate,
    accountOf: (username) => usernameKey(username, "@", true),
    clock,
    login(credentials) {
      state.asked++;
      const { username } = credentials;
      const word = secretIn(credentials).reveal();
      const answer = () => RESULTS[state.meanings.get(word) ?? word.split(" ")[0]!]!;
      if (!state.held) return Promise.resolve(answer());
      return new Promise((resolve) => {
        open.push({ username, answer: () => resolve(answer()) });
        state.most = Math.max(state.most, open.length);
      });
    },
  });
  const login = (name: string | number, password: string, address = HERE) =>
    guard.login({
      mechanism: "PLAIN",
      username: typeof name === "number" ? username(name) : name,
      password: new Secret(password),
    }, address);
  const code = async (name: string | number, password: string, address = HERE) =>
    (await login(name, password, address)).reply.code;
  let failed = 1000;
  /** Lets so many logins of different apps fail, one after the other, each time others. */
  const fail = async (times: number, address = HERE) => {
    for (let i = 0; i < times; i++) assert.equal(await code(failed++, "wrong", address), 535);
  };
  /** Answers open requests and those that follow, until there are no more. */
  const answerAll = async () => {
    do {
      for (const question of open.splice(0)) question.answer();
      await settled();
    } while (open.length > 0);
  };
  return { clock, state, guard, open, login, code, fail, answerAll };
}

/** Waits until everything resolved so far has reached its next wait. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function codes(results: readonly (LoginResult | LimitedLogin)[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { reply: { code } } of results) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

describe("failed logins of an address", () => {
  it("get 535 up to AUTH_RATE_LIMIT, then 421 4.7.0 without a check", async () => {
    const { login, fail, state } = open();
    await fail(9);
    const tenth = await login(1, "wrong");
    assert.equal(tenth.reply.code, 535);
    assert.equal(state.asked, 10);
    for (let i = 0; i < 5; i++) {
      const { type, reply } = await login(i, i === 4 ? "right" : "wrong");
      assert.deepEqual([type, reply], ["limited", REPLIES.tooManyFailedLogins]);
    }
    assert.equal(state.asked, 10);
  });

  it("are counted for each address separately", async () => {
    const { code, fail } = open();
    await fail(10);
    assert.equal(await code(1, "right", THERE), 235);
    assert.equal(await code(2, "right"), 421);
  });

  it("are counted by the /64 of an IPv6 address (RFC 6177 §2)", async () => {
    const { code } = open();
    for (let i = 0; i < 10; i++) {
      assert.equal(await code(i, "wrong", `2001:db8:0:1::${i.toString(16)}`), 535);
    }
    assert.equal(await code(50, "right", "2001:db8:0:1:ffff:ffff:ffff:ffff"), 421);
    assert.equal(await code(50, "right", "2001:db8:0:2::1"), 235);
  });

  it("do not include logins that could not be checked (454)", async () => {
    const { code, fail } = open();
    for (let i = 0; i < 50; i++) assert.equal(await code(i, "later"), 454);
    await fail(10);
    assert.equal(await code(1, "later"), 421);
  });

  it("do not include logins refused by the limit: the window ends by itself", async () => {
    const { code, fail, clock } = open();
    await fail(10);
    // A device that tries again every second.
    for (let second = 1; second < 60; second++) {
      clock.pass(1000);
      assert.equal(await code(1, "wrong"), 421);
    }
    clock.pass(1000);
    assert.equal(await code(2, "right"), 235);
    await fail(10);
    assert.equal(await code(1, "wrong"), 421);
  });

  it("expire one by one: the window slides", async () => {
    const { code, clock } = open({ most: 2, window: MINUTE });
    assert.equal(await code(1, "wrong"), 535);
    clock.pass(40_000);
    assert.equal(await code(2, "wrong"), 535);
    assert.equal(await code(3, "wrong"), 421);
    clock.pass(20_000);
    assert.equal(await code(3, "wrong"), 535);
    assert.equal(await code(4, "wrong"), 421);
    clock.pass(39_999);
    assert.equal(await code(4, "wrong"), 421);
    clock.pass(1);
    assert.equal(await code(4, "wrong"), 535);
  });

  it("include those without a username, but only up to the limit", async () => {
    const { code, guard, clock } = open();
    for (let i = 0; i < 9; i++) guard.failed(HERE);
    assert.equal(await code("no username", "wrong"), 535);
    assert.equal(await code(1, "right"), 421);
    clock.pass(MINUTE - 1);
    for (let i = 0; i < 50; i++) guard.failed(HERE);
    clock.pass(1);
    assert.equal(await code(1, "right"), 235);
  });

  it("are unlimited and not delayed with AUTH_RATE_LIMIT=off", async () => {
    const { code, state, clock } = open("off");
    for (let i = 0; i < 100; i++) assert.equal(await code(1, "wrong"), 535);
    assert.equal(state.asked, 100);
    assert.equal(clock.alarms, 0);
  });
});

describe("credentials that have worked", () => {
  it("pass, whatever failed at their address, and in any spelling of their username", async () => {
    const { code, fail } = open();
    assert.equal(await code(7, "right one"), 235);
    await fail(10);
    const short = (id: string) => Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url");
    const [tenant, client] = username(7).split("@") as [string, string];
    const spellings = [
      username(7),
      username(7).toUpperCase(),
      `${username(7)}.example.com`,
      `${short(tenant)}@${short(client)}`,
    ];
    for (const spelling of spellings) assert.equal(await code(spelling, "right one"), 235);
    // Neither another password of the same account, nor the password of another one.
    assert.equal(await code(7, "right another"), 421);
    assert.equal(await code(8, "right one"), 421);
  });

  it("pass at addresses where they have never been", async () => {
    const { code, fail } = open();
    assert.equal(await code(7, "right"), 235);
    await fail(10, THERE);
    assert.equal(await code(7, "right", THERE), 235);
  });

  it("pass for a day and an hour after the last time, for devices that send once a day", async () => {
    const { code, fail, clock } = open();
    assert.equal(await code(7, "right"), 235);
    for (let day = 0; day < 3; day++) {
      clock.pass(KNOWN_FOR - 1);
      await fail(10);
      assert.equal(await code(7, "right"), 235);
    }
    clock.pass(KNOWN_FOR + 1);
    await fail(10);
    assert.equal(await code(7, "right"), 421);
    assert(KNOWN_FOR >= HOUR, "the least that is promised");
  });

  it("still pass after they could not be checked", async () => {
    const { code, fail, state } = open();
    assert.equal(await code(7, "right"), 235);
    await fail(10);
    state.meanings.set("right", "later");
    assert.equal(await code(7, "right"), 454);
    state.meanings.delete("right");
    assert.equal(await code(7, "right"), 235);
  });

  it("are forgotten when they are permanently refused, which is a failed login", async () => {
    const { code, fail, state } = open();
    assert.equal(await code(7, "right"), 235);
    await fail(9);
    state.meanings.set("right", "wrong");
    assert.equal(await code(7, "right"), 535);
    assert.equal(await code(7, "right"), 421);
  });

  it("are never delayed, however often others have guessed at their account", async () => {
    const { code, fail, clock } = open();
    assert.equal(await code(7, "right"), 235);
    clock.patient = true;
    for (let i = 0; i < 5; i++) assert.equal(await code(7, `wrong ${i}`, `198.51.100.${i}`), 535);
    await fail(10);
    assert.equal(await code(7, "right"), 235);
    assert.equal(clock.alarms, 0);
  });
});

describe("the same refused credentials again", () => {
  it("are not a failed login, however often a device tries them", async () => {
    const { code, fail, clock } = open();
    for (let i = 0; i < 100; i++) {
      assert.equal(await code(1, "wrong"), 535);
      clock.pass(10);
    }
    await fail(9);
    assert.equal(await code(2, "wrong"), 421, "the eleventh");
    assert.equal(await code(1, "wrong"), 421, "at its limit an address has no other answer");
  });

  it("are one failed login if they come together, and use no other login's turn", async () => {
    const { login, fail, code, answerAll, state, clock } = open();
    state.held = true;
    const results = Promise.all(Array.from({ length: 30 }, () => login(1, "wrong")));
    await settled();
    await answerAll();
    assert.deepEqual(codes(await results), { 535: 30 });
    // As many as may still fail are checked, next to any number of old ones.
    const old = Array.from({ length: 50 }, () => login(1, "wrong"));
    const before = state.asked;
    const others = Array.from({ length: 20 }, (_, i) => login(2000 + i, "right"));
    await settled();
    assert.equal(state.asked - before, 50 + 9);
    await answerAll();
    assert.deepEqual(codes(await Promise.all(old)), { 535: 50 });
    assert.deepEqual(codes(await Promise.all(others)), { 235: 20 });
    state.held = false;
    await fail(9);
    assert.equal(await code(3000, "wrong"), 421);
    assert.equal(clock.alarms, 0);
  });

  it("do not move the limit: ten failures are answered, the eleventh is not", async () => {
    const { login, fail, answerAll, state } = open();
    assert.equal((await login(1, "wrong")).reply.code, 535);
    await fail(8);
    state.held = true;
    const passwords = ["wrong", "wrong", "wrong a", "wrong a", "wrong b", "wrong c"];
    const results = Promise.all(passwords.map((password) => login(1, password)));
    await settled();
    await answerAll();
    const got = (await results).map(({ reply: { code } }) => code);
    assert.deepEqual(got, [535, 535, 535, 421, 421, 421]);
  });

  it("leave room for 15 first logins next to two devices that try every 3 s", async () => {
    const { code, clock } = open();
    const honest: number[] = [];
    for (let second = 0; second < 180; second++) {
      if (second % 3 === 0) {
        assert.equal(await code(1, "wrong"), 535);
        assert.equal(await code(2, "wrong"), 535);
      }
      if (second % 12 === 5) honest.push(await code(100 + second, "right"));
      clock.pass(1000);
    }
    assert.deepEqual(honest, Array(15).fill(235));
  });

  it("do not delay the new secret of their account", async () => {
    const { code, clock } = open();
    clock.patient = true;
    for (let i = 0; i < 20; i++) assert.equal(await code(1, "wrong"), 535);
    assert.equal(await code(1, "right"), 235);
    assert.equal(clock.alarms, 0);
  });

  it("are not delayed themselves, however often others have guessed at their account", async () => {
    const { code, clock } = open();
    assert.equal(await code(1, "wrong"), 535);
    for (let i = 0; i < 4; i++) {
      assert.equal(await code(1, `wrong ${i}`, `198.51.100.${i}`), 535);
    }
    const repeated = code(1, "wrong");
    await settled();
    assert.equal(clock.alarms, 0);
    assert.equal(await repeated, 535);
  });

  it("are checked each time, and pass as soon as they are right", async () => {
    const { code, fail, state } = open();
    for (let i = 0; i < 3; i++) assert.equal(await code(1, "wrong"), 535);
    assert.equal(state.asked, 3);
    state.meanings.set("wrong", "right");
    assert.equal(await code(1, "wrong"), 235);
    state.meanings.delete("wrong");
    // Refused again, they are a failed login: they were right in between.
    assert.equal(await code(1, "wrong"), 535);
    assert.equal(await code(1, "wrong"), 535);
    await fail(8);
    assert.equal(await code(3, "wrong"), 421);
  });

  it("are remembered for each address separately", async () => {
    const { code, fail } = open({ most: 2, window: MINUTE });
    assert.equal(await code(1, "wrong"), 535);
    assert.equal(await code(1, "wrong", THERE), 535);
    await fail(1, THERE);
    assert.equal(await code(2, "wrong", THERE), 421);
    await fail(1);
    assert.equal(await code(2, "wrong"), 421);
  });

  it("are a failed login again when a hundred others have been refused since", async () => {
    const { code, fail, clock } = open();
    for (let round = 0; round < 11; round++) {
      assert.equal(await code(1, "wrong a"), 535);
      if (round < 10) assert.equal(await code(1, "wrong b"), 535);
      await fail(round === 0 ? 8 : 9);
      clock.pass(MINUTE);
    }
    // The one tried all the time is still known, the other one is not.
    await fail(9);
    assert.equal(await code(1, "wrong a"), 535);
    for (let i = 0; i < 2; i++) {
      clock.pass(MINUTE);
      await fail(10);
      assert.equal(await code(1, "wrong a"), 421);
    }
    clock.pass(MINUTE);
    for (let i = 0; i < 9; i++) {
      await fail(9);
      clock.pass(MINUTE);
    }
    await fail(9);
    assert.equal(await code(1, "wrong b"), 535);
    assert.equal(await code(2, "wrong"), 421);
  });

  it("are checked a hundred times in the window, then answered without a check", async () => {
    const { code, login, fail, state, clock } = open();
    assert.equal(await code(1, "wrong"), 535);
    for (let i = 0; i < 150; i++) assert.equal(await code(1, "wrong"), 535);
    assert.equal(state.asked, 101);
    const { type, reply } = await login(1, "wrong");
    assert.deepEqual([type, reply.code, reply.enhanced], ["limited", 535, "5.7.8"]);
    // None of it affects others.
    assert.equal(await code(2, "right"), 235);
    await fail(9);
    clock.pass(MINUTE);
    state.meanings.set("wrong", "right");
    assert.equal(await code(1, "wrong"), 235);
  });

  it("are not forgotten because of guesses at other addresses", async () => {
    const { code, fail } = open();
    assert.equal(await code(1, "wrong"), 535);
    for (let i = 0; i < 20; i++) await fail(10, `198.51.100.${i}`);
    assert.equal(await code(1, "wrong"), 535);
    await fail(9);
    assert.equal(await code(2, "wrong"), 421);
  });

  it("are distinguished from others even if their username is malformed or they are not UTF-8", async () => {
    const { code, guard, fail } = open({ most: 4, window: MINUTE });
    for (let i = 0; i < 9; i++) assert.equal(await code("no username", "wrong"), 535);
    assert.equal(await code("no other", "wrong"), 535);
    for (let i = 0; i < 9; i++) assert.equal(guard.failed(HERE, new Secret("ff 00")), true);
    await fail(1);
    assert.equal(guard.failed(HERE, new Secret("ff 01")), false);
    assert.equal(await code(1, "right"), 421);
  });

  it("include a token that Graph has refused, in a message or at the login", async () => {
    const { guard, state, code, fail } = open({ most: 2, window: MINUTE });
    const withToken = () =>
      guard.login({ mechanism: "XOAUTH2", username: "", token: new Secret("unverified") }, HERE);
    for (let i = 0; i < 5; i++) {
      const result = await withToken();
      assert(result.type === "account");
      guard.disproved(result.authorization, HERE);
    }
    state.meanings.set("unverified", "wrong");
    for (let i = 0; i < 5; i++) assert.equal((await withToken()).reply.code, 535);
    await fail(1);
    assert.equal(await code(2, "wrong"), 421);
  });
});

describe("a client's token", () => {
  const withToken = (guard: LoginGuard, word: string) =>
    guard.login({ mechanism: "XOAUTH2", username: username(7), token: new Secret(word) }, HERE);

  it("passes a limit only once it has worked: anyone can make up a new one", async () => {
    const { guard, fail } = open();
    assert.equal((await withToken(guard, "unverified")).reply.code, 235);
    assert.equal((await withToken(guard, "right")).reply.code, 235);
    await fail(10);
    assert.equal((await withToken(guard, "unverified")).reply.code, 421);
    assert.equal((await withToken(guard, "right")).reply.code, 235);
  });

  it("differs from a password of the same letters, and counts as a failed login if it is wrong", async () => {
    const { guard, code, fail } = open();
    assert.equal((await withToken(guard, "right")).reply.code, 235);
    await fail(9);
    assert.equal((await withToken(guard, "wrong")).reply.code, 535);
    assert.equal(await code(7, "right"), 421);
  });
});

describe("many logins at once from one address", () => {
  it("that are wrong get no more than AUTH_RATE_LIMIT checks, the others get 421", async () => {
    const { login, answerAll, state, clock } = open();
    state.held = true;
    const results = Promise.all(Array.from({ length: 100 }, (_, i) => login(i, "wrong")));
    await settled();
    assert.equal(state.asked, 10);
    await answerAll();
    assert.deepEqual(codes(await results), { 535: 10, 421: 90 });
    assert.equal(state.asked, 10);
    assert.equal(clock.alarms, 0, "nobody waits any more");
  });

  it("that are right all succeed, checked as many at a time as may still fail", async () => {
    const { login, fail, answerAll, state, clock } = open();
    await fail(7);
    state.held = true;
    const results = Promise.all(Array.from({ length: 300 }, (_, i) => login(i, "right")));
    await settled();
    await answerAll();
    assert.deepEqual(codes(await results), { 235: 300 });
    assert.equal(state.most, 3);
    assert.equal(clock.alarms, 0);
  });

  it("with the same right credentials wait only for the first of them", async () => {
    const { login, answerAll, open: questions, state } = open();
    state.held = true;
    const results = Promise.all(Array.from({ length: 300 }, () => login(1, "right")));
    await settled();
    assert.equal(questions.length, 10);
    questions.shift()!.answer();
    await settled();
    assert.equal(questions.length, 299, "all the others are asked about now");
    await answerAll();
    assert.deepEqual(codes(await results), { 235: 300 });
  });

  it("that are mixed succeed if they are right and before the tenth wrong one", async () => {
    const { login, answerAll, state } = open();
    state.held = true;
    const passwords = [
      ...Array.from({ length: 100 }, (_, i) => i % 20 === 0 ? "wrong" : "right"),
      ...Array<string>(50).fill("wrong"),
    ];
    const results = Promise.all(passwords.map((password, i) => login(i, password)));
    await settled();
    await answerAll();
    assert.deepEqual(codes(await results), { 235: 95, 535: 10, 421: 45 });
  });

  it("that cannot be checked pass their turns on, and do not count", async () => {
    const { login, answerAll, state, fail } = open();
    state.held = true;
    const results = Promise.all(Array.from({ length: 50 }, (_, i) => login(i, "later")));
    await settled();
    await answerAll();
    assert.deepEqual(codes(await results), { 454: 50 });
    state.held = false;
    await fail(10);
  });

  it("wait up to a limit: then 454 4.7.0, which is not a failed login", async () => {
    const { login, code, answerAll, state, clock } = open({ most: 1, window: MINUTE });
    state.held = true;
    const first = login(1, "right");
    await settled();
    const second = login(2, "right");
    await settled();
    clock.pass(QUEUE_TIMEOUT - 1);
    assert.equal(clock.alarms, 1);
    clock.pass(1);
    const { type, reply } = await second;
    assert.deepEqual([type, reply.code, reply.enhanced], ["limited", 454, "4.7.0"]);
    assert.equal(state.asked, 1);
    await answerAll();
    assert.equal((await first).reply.code, 235);
    state.held = false;
    assert.equal(await code(2, "right"), 235);
  });

  it("are limited in number while they wait: more are refused immediately", async () => {
    const { login, answerAll, state } = open({ most: 1, window: MINUTE });
    state.held = true;
    const results = Promise.all(Array.from({ length: 1100 }, (_, i) => login(i, "right")));
    await settled();
    await answerAll();
    assert.deepEqual(codes(await results), { 235: 1001, 454: 99 });
  });

  it("do not delay other addresses", async () => {
    const { login, code, state } = open();
    state.held = true;
    const results = Array.from({ length: 100 }, (_, i) => login(i, "wrong"));
    await settled();
    state.held = false;
    assert.equal(await code(500, "right", THERE), 235);
    assert.equal(results.length, 100);
  });

  it("are answered immediately when the relay stops", async () => {
    const { login, guard, answerAll, state, clock } = open({ most: 1, window: MINUTE });
    state.held = true;
    const results = [login(1, "right"), login(2, "right"), login(3, "right")];
    await settled();
    guard.stop();
    assert.equal(clock.alarms, 0);
    results.push(login(4, "right"));
    await answerAll();
    assert.deepEqual(codes(await Promise.all(results)), { 235: 1, 454: 3 });
  });

  it("lose no turn by a fault of the program", async () => {
    const clock = new FakeClock();
    let faulty = true;
    const guard = new LoginGuard({
      rate: { most: 1, window: MINUTE },
      accountOf: (username) => usernameKey(username, "@"),
      clock,
      login: () => faulty ? Promise.reject(new Error("a bug")) : Promise.resolve(RESULTS["right"]!),
    });
    const credentials = {
      mechanism: "PLAIN",
      username: username(1),
      password: new Secret("x"),
    } as const;
    await assert.rejects(() => guard.login(credentials, HERE), /a bug/);
    faulty = false;
    assert.equal((await guard.login(credentials, HERE)).reply.code, 235);
  });
});

describe("failed logins of one account from many addresses", () => {
  /** Milliseconds until a login of app 7, from a new address, was checked. */
  async function wait(
    { login, state, clock }: ReturnType<typeof open>,
    number: number,
    address = `198.51.100.${number}`,
  ): Promise<number> {
    const { asked } = state;
    const begun = clock.now();
    const result = login(7, `wrong ${number}`, address);
    await settled();
    while (state.asked === asked) {
      clock.pass(50);
      await settled();
    }
    assert.equal((await result).reply.code, 535);
    return clock.now() - begun;
  }

  it("delay the account by nothing five times, then by 0.25 s, 0.5 s, 1 s, and 2 s at most", async () => {
    const world = open();
    const waits = [];
    for (let i = 0; i < 12; i++) waits.push(await wait(world, i));
    assert.deepEqual(waits, [0, 0, 0, 0, 0, 250, 500, 1000, 2000, 2000, 2000, 2000]);
    assert.equal(world.clock.alarms, 0);
  });

  it("delay nothing any more when the window is over", async () => {
    const world = open();
    for (let i = 0; i < 7; i++) await wait(world, i);
    world.clock.pass(MINUTE);
    assert.equal(await wait(world, 8), 0);
  });

  it("delay no other account, and never by more than the limit for one address allows", async () => {
    const world = open();
    for (let i = 0; i < 9; i++) await wait(world, i);
    assert.equal(await world.code(8, "right"), 235);
    // From one address all ten are in time: 6 s in all.
    world.clock.pass(MINUTE);
    const begun = world.clock.now();
    for (let i = 0; i < 10; i++) await wait(world, 200 + i, "198.51.100.100");
    assert(world.clock.now() - begun < 6000);
    assert.equal(await world.code(7, "wrong 100", "198.51.100.100"), 421);
  });

  it("do not wait when the relay stops", async () => {
    const world = open();
    for (let i = 0; i < 9; i++) await wait(world, i);
    const result = world.login(7, "wrong", THERE);
    await settled();
    assert.equal(world.clock.alarms, 1);
    world.guard.stop();
    assert.equal(world.clock.alarms, 0);
    assert.equal((await result).reply.code, 535);
    assert.equal(await world.code(7, "wrong again", THERE), 535);
  });
});

describe("the steps of a login", () => {
  it("are noted where the caller asks, with AUTH_RATE_LIMIT and without, in the first login and later", async () => {
    for (const rate of ["off", { most: 10, window: MINUTE }] as const) {
      const guard = new LoginGuard({
        rate,
        accountOf: (username) => usernameKey(username, "@"),
        clock: new FakeClock(),
        login(_credentials, { steps }) {
          steps?.begin("token")();
          return Promise.resolve(RESULTS["right"]!);
        },
      });
      for (let i = 0; i < 2; i++) {
        const steps = new Steps();
        const password = new Secret("right");
        await guard.login({ mechanism: "PLAIN", username: username(1), password }, HERE, steps);
        assert.deepEqual(steps.list.map(({ name }) => name), ["token"]);
      }
    }
  });
});

describe("a device's own password", () => {
  it("stays known though the relay's own credential fails, which is no failed login", async () => {
    const { code, fail, clock } = open();
    for (let i = 0; i < 30; i++) assert.equal(await code("scanner@lookup", "unserved"), 454);
    await fail(10);
    assert.equal(await code("scanner@lookup", "unserved"), 454);
    assert.equal(await code("scanner", "unserved", THERE), 454);
    assert.equal(await code("other", "unserved"), 421);
    clock.pass(HOUR);
    await fail(10);
    assert.equal(await code("scanner", "unserved"), 454);
  });

  it("is known by its id and with id@lookup alike, and no more when it is refused", async () => {
    const { code, fail, state } = open();
    assert.equal(await code("scanner", "right"), 235);
    await fail(10);
    assert.equal(await code("scanner@lookup", "right"), 235);
    state.meanings.set("right", "wrong");
    assert.equal(await code("scanner", "right"), 535);
    assert.equal(await code("scanner", "right"), 421);
  });

  it("that is wrong is remembered for its address, and is one failed login", async () => {
    const { code, state } = open();
    for (let i = 0; i < 50; i++) {
      assert.equal(await code(i % 2 === 0 ? "scanner" : "scanner@lookup", "wrong"), 535);
    }
    assert.equal(state.asked, 50);
    assert.equal(await code("other", "right"), 235);
  });

  it("reaches the check with the client's network, in whose turn it is", async () => {
    const clients: (string | undefined)[] = [];
    const guard = new LoginGuard({
      rate: { most: 10, window: MINUTE },
      accountOf: (username) => usernameKey(username, "@", true),
      clock: new FakeClock(),
      login(_credentials, { client }) {
        clients.push(client);
        return Promise.resolve(RESULTS["right"]!);
      },
    });
    const password = new Secret("p");
    for (const address of [HERE, "2001:db8::1", "2001:db8::2", "2001:db8::1"]) {
      await guard.login({ mechanism: "PLAIN", username: "scanner", password }, address);
    }
    assert.deepEqual(clients[0], HERE);
    assert.equal(new Set(clients).size, 2);
  });
});
