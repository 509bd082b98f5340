/** The token cache by the clock: how long a token is used, and when a new one is asked for. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type EntraRefusal, refusalFor, unreachable } from "../../src/entra/entra_errors.ts";
import type { AccessToken } from "../../src/entra/token.ts";
import type { ClientCredentials } from "../../src/entra/app_credentials.ts";
import { TokenSource } from "../../src/entra/tokens.ts";
import { Secret } from "../../src/secret.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const SCOPE = "https://graph.microsoft.com/.default";

interface ClockOptions {
  readonly maxAge?: number;
  readonly capacity?: number;
  /** Milliseconds that a token is good for. */
  readonly lifetime?: number;
  readonly roles?: readonly string[];
}

/** A token source whose clock and whose Entra are the test's. */
function open(
  { maxAge = 24 * HOUR, capacity, lifetime = HOUR, roles = ["Mail.Send"] }: ClockOptions = {},
) {
  const state = {
    now: 1_000_000,
    requests: 0,
    /** Of each request. */
    scopes: [] as string[],
    refuse: undefined as EntraRefusal | undefined,
    roles,
  };
  const source = new TokenSource({
    maxAge,
    ...(capacity === undefined ? {} : { capacity }),
    clock: { now: () => state.now },
    request(_credentials, scope): Promise<AccessToken | EntraRefusal> {
      state.requests++;
      state.scopes.push(scope);
      return Promise.resolve(
        state.refuse ?? {
          value: new Secret(`token ${state.requests}`),
          fetchedAt: state.now,
          expiresAt: state.now + lifetime,
          roles: state.roles,
        },
      );
    },
  });
  const login = (secret = "s") => source.login(credentials(secret));
  /** The token's text; fails without one. */
  const token = async (secret = "s") => {
    const result = await login(secret).token(SCOPE);
    assert("value" in result);
    return result;
  };
  return { state, source, login, token };
}

function credentials(secret: string): ClientCredentials {
  return { tenantId: "tenant", clientId: "client", clientSecret: new Secret(secret) };
}

describe("a token in the cache", () => {
  it("is used up to five minutes before its end, and then not", async () => {
    const { state, token } = open({ lifetime: HOUR });
    const first = await token();
    state.now += HOUR - 5 * MINUTE - 1;
    assert.equal(await token(), first);
    state.now += 1;
    assert.notEqual(await token(), first);
    assert.equal(state.requests, 2);
  });

  it("is used for half of its life when that is short", async () => {
    const { state, token } = open({ lifetime: 4 * MINUTE });
    const first = await token();
    state.now += 2 * MINUTE - 1;
    assert.equal(await token(), first);
    state.now += 1;
    assert.notEqual(await token(), first);
  });

  it("is used no longer than TOKEN_CACHE_MAX_AGE, whatever its own life", async () => {
    const { state, token } = open({ maxAge: 10 * MINUTE, lifetime: 24 * HOUR });
    const first = await token();
    state.now += 10 * MINUTE - 1;
    assert.equal(await token(), first);
    state.now += 1;
    assert.notEqual(await token(), first);
    assert.equal(state.requests, 2);
  });

  it("is replaced with one request by a hundred logins that find it too old", async () => {
    const { state, token } = open({ maxAge: MINUTE });
    await token();
    state.now += MINUTE;
    const tokens = await Promise.all(Array.from({ length: 100 }, () => token()));
    assert.equal(new Set(tokens).size, 1);
    assert.equal(state.requests, 2);
  });

  it("is handed over without a promise, so that sending costs no turn of the loop", async () => {
    const { login, token } = open();
    const first = await token();
    assert.equal(login().token(SCOPE), first);
  });

  it("is forgotten when too many others have been used since", async () => {
    const { state, token } = open({ capacity: 3 });
    for (const secret of ["a", "b", "c"]) await token(secret);
    await token("a");
    await token("d");
    assert.equal(state.requests, 4);
    for (const secret of ["a", "c", "d"]) await token(secret);
    assert.equal(state.requests, 4);
    await token("b");
    assert.equal(state.requests, 5);
  });

  it("is its own login's, also where tenant, client and secret run together to the same text", async () => {
    const { state, source } = open();
    const logins = [["a", "bc", "d"], ["ab", "c", "d"], ["a", "b", "cd"], ["abcd", "", ""]];
    for (
      const [tenantId, clientId, secret] of [...logins, ...logins] as [string, string, string][]
    ) {
      await source.login({ tenantId, clientId, clientSecret: new Secret(secret) }).token(SCOPE);
    }
    assert.equal(state.requests, 4);
  });

  it("is not evicted by wrong logins, which leave no state", async () => {
    const { state, token, login } = open({ capacity: 3 });
    const first = await token();
    state.refuse = unreachable("X", "x");
    for (let i = 0; i < 10; i++) await login(`wrong ${i}`).token(SCOPE);
    assert.equal(await token(), first);
  });
});

describe("a login that is held", () => {
  it("is the one of all sessions with the same credentials, and of no others", () => {
    const { source, login } = open();
    const held = source.held(login());
    assert.equal(source.held(login()), held);
    const others = [login("another"), source.login({ ...credentials("s"), clientId: "other" })];
    for (const other of others) assert.equal(source.held(other), other);
  });

  it("is verified again by each login, however long the others have held it", async () => {
    const { state, source, login } = open();
    const first = login();
    await first.token(SCOPE);
    const held = source.held(first);
    state.now += 7_200_000;
    assert(!held.isVerified);
    const second = login();
    await second.token(SCOPE);
    assert.equal(source.held(second), held);
    assert(held.isVerified);
  });

  it("is each session's own with a credential of the relay: different devices log in with it", () => {
    const { source } = open();
    const login = () => source.login({ tenantId: "t", clientId: "c", credential: "certificate" });
    const held = source.held(login());
    assert.notEqual(source.held(login()), held);
  });
});

describe("a refusal", () => {
  it("is forgotten once the same secret has worked", async () => {
    const { state, login } = open();
    state.refuse = refusalFor({ status: 401, error: "invalid_client", numbers: [7000215] });
    await login().token(SCOPE);
    state.now += 30_000;
    state.refuse = undefined;
    assert("value" in await login().token(SCOPE));
    state.now += 2 * HOUR;
    assert("value" in await login().token(SCOPE, () => false));
    assert.equal(state.requests, 3);
  });
});

describe("tokens for several services", () => {
  const OTHER = "https://outlook.office365.com/.default";

  it("are requested, kept and handed out for each scope by itself", async () => {
    const { state, login } = open();
    const [graph, outlook] = [await login().token(SCOPE), await login().token(OTHER)];
    assert("value" in graph && "value" in outlook);
    assert.notEqual(graph, outlook);
    assert.deepEqual(state.scopes, [SCOPE, OTHER]);
    assert.equal(login().token(SCOPE), graph);
    assert.equal(login().token(OTHER), outlook);
    assert.equal(state.requests, 2);
  });

  it("are dropped and confirmed for each scope by itself", async () => {
    const { state, login } = open({ roles: [] });
    const [graph, outlook] = [await login().token(SCOPE), await login().token(OTHER)];
    assert("value" in graph && "value" in outlook);
    login().confirm(outlook);
    login().reject(graph);
    assert.notEqual(await login().token(SCOPE), graph);
    assert.equal(await login().token(OTHER), outlook);
    assert.equal(state.requests, 3);
    // The new one is doubtful, the confirmed one is not.
    state.now += MINUTE;
    await login().token(SCOPE);
    assert.equal(await login().token(OTHER), outlook);
    assert.equal(state.requests, 4);
  });

  it("are not asked for with a secret that was refused for one of them", async () => {
    const { state, login } = open();
    const refusal = state.refuse = refusalFor({
      status: 401,
      error: "invalid_client",
      numbers: [7000215],
    });
    assert.equal(await login("wrong").token(SCOPE), refusal);
    const other = await login("wrong").token(OTHER);
    assert("type" in other);
    assert.deepEqual([other.type, other.code], ["refused", "AADSTS7000215"]);
    assert.match(other.detail, /\(remembered: /);
    assert.equal(state.requests, 1);
    // Another secret is asked about, and the same one when the time is over.
    await login("another").token(OTHER);
    state.now += 30_000;
    state.refuse = undefined;
    assert("value" in await login("wrong").token(OTHER));
    assert("value" in await login("wrong").token(SCOPE));
    assert.equal(state.requests, 4);
  });

  it("are asked for where Entra ID has refused another scope, but not that scope itself", async () => {
    for (const number of [500011, 70011]) {
      const { state, login } = open();
      state.refuse = refusalFor({ status: 400, error: "invalid_resource", numbers: [number] });
      await login().token(OTHER);
      state.refuse = undefined;
      assert("value" in await login().token(SCOPE));
      assert("type" in await login().token(OTHER));
      assert.deepEqual(state.scopes, [OTHER, SCOPE]);
    }
  });

  it("are asked for by a throttled app for none of them", async () => {
    const { state, login } = open();
    state.refuse = refusalFor({ status: 429, error: "x", numbers: [], retryAfter: 60_000 });
    await login().token(SCOPE);
    state.refuse = undefined;
    assert("type" in await login("another secret").token(OTHER));
    assert.equal(state.requests, 1);
  });
});

describe("a request for a token", () => {
  it("that failed is not kept: the next login asks again", async () => {
    const { state, login } = open();
    state.refuse = unreachable("ECONNREFUSED", "refused");
    assert.equal(await login().token(SCOPE), state.refuse);
    assert.equal(await login().token(SCOPE), state.refuse);
    assert.equal(state.requests, 2);
    state.refuse = undefined;
    assert("value" in await login().token(SCOPE));
    assert.equal(state.requests, 3);
  });

  it("that failed fails for all waiting logins, and once", async () => {
    const { state, login } = open();
    state.refuse = unreachable("ECONNREFUSED", "refused");
    const results = await Promise.all(Array.from({ length: 10 }, () => login().token(SCOPE)));
    assert(results.every((result) => result === state.refuse));
    assert.equal(state.requests, 1);
  });

  it("that threw is not kept either", async () => {
    let requests = 0;
    const source = new TokenSource({
      maxAge: HOUR,
      request() {
        if (++requests === 1) throw new Error("a bug");
        return Promise.resolve(unreachable("X", "x"));
      },
    });
    const login = source.login(credentials("s"));
    await assert.rejects(async () => await login.token(SCOPE), /a bug/);
    assert("type" in await login.token(SCOPE));
    assert.equal(requests, 2);
  });
});

describe("a refusal of Entra's", () => {
  const WRONG = refusalFor({ status: 401, error: "invalid_client", numbers: [7000215] });

  it("is remembered for half a minute, for exactly these credentials, and reported as such", async () => {
    const { state, login } = open();
    state.refuse = WRONG;
    assert.equal(await login().token(SCOPE), WRONG);
    state.now += 29_999;
    const again = await login().token(SCOPE);
    assert("type" in again && again.type === "refused");
    assert.deepEqual(again.reply, WRONG.reply);
    assert.match(
      again.detail,
      /secret is wrong .*\(remembered: Entra ID said so 30 s ago and was n/,
    );
    assert.equal(state.requests, 1);
    await login("another").token(SCOPE);
    assert.equal(state.requests, 2);
    // A question after that time is asked, and its answer remembered for as long.
    state.now += 1;
    assert.equal(await login().token(SCOPE), WRONG);
    assert.equal(state.requests, 3);
    state.now += 29_999;
    await login().token(SCOPE);
    assert.equal(state.requests, 3);
  });

  it("is forgotten in time for a secret that has just been made", async () => {
    const { state, login } = open();
    state.refuse = WRONG;
    await login().token(SCOPE);
    state.refuse = undefined;
    state.now += 30_000;
    assert("value" in await login().token(SCOPE));
  });

  it("ends a token that is too old, and is remembered then, too", async () => {
    const { state, login, token } = open();
    await token();
    state.now += HOUR;
    state.refuse = WRONG;
    await login().token(SCOPE);
    await login().token(SCOPE);
    assert.equal(state.requests, 2);
  });

  it("is asked about again only where that is allowed", async () => {
    const { state, login } = open();
    state.refuse = WRONG;
    await login().token(SCOPE);
    state.now += 30_000;
    let asked = 0;
    const again = await login().token(SCOPE, () => (asked++, false));
    assert("type" in again && /remembered: Entra ID said so 30 s ago/.test(again.detail));
    assert.deepEqual([state.requests, asked], [1, 1]);
    await login().token(SCOPE, () => (asked++, true));
    await login().token(SCOPE, () => (asked++, true));
    assert.deepEqual([state.requests, asked], [2, 2]);
  });

  it("pushes no token out, however many there are", async () => {
    const { state, login, token } = open({ capacity: 3 });
    const first = await token();
    state.refuse = WRONG;
    for (let i = 0; i < 20_000; i++) await login(`wrong ${i}`).token(SCOPE);
    assert.equal(await token(), first);
    // Nor are they remembered without bound: the first of them is asked about again.
    const { requests } = state;
    await login("wrong 0").token(SCOPE);
    assert.equal(state.requests, requests + 1);
  });
});

describe("a token that Graph refused", () => {
  it("is dropped, and a new one requested immediately, also in its first minute", async () => {
    for (const age of [0, 1, MINUTE - 1, 10 * MINUTE]) {
      const { state, login, token } = open();
      const first = await token();
      state.now += age;
      login().reject(first);
      assert.notEqual(await token(), first);
      assert.equal(state.requests, 2);
    }
  });

  it("is replaced for all that were refused with it, while the new one is on its way, too", async () => {
    const { state, login, token } = open();
    const first = await token();
    const all = Array.from({ length: 4 }, () => {
      login().reject(first);
      return token();
    });
    assert.deepEqual(new Set(await Promise.all(all)).size, 1);
    assert.notEqual(await all[3], first);
    assert.equal(state.requests, 2);
  });

  it("is followed by one whose refusals lead to a request at most once a minute", async () => {
    const { state, login, token } = open();
    login().reject(await token());
    const second = await token();
    // The new one is refused as well: it is used on, until a minute is over.
    login().reject(second);
    state.now += MINUTE - 1;
    assert.equal(await token(), second);
    assert.equal(state.requests, 2);
    state.now += 1;
    const third = await token();
    assert.notEqual(third, second);
    assert.equal(state.requests, 3);
    // Also where it has worked in between.
    login().confirm(third);
    login().reject(third);
    state.now += MINUTE - 1;
    assert.equal(await token(), third);
    state.now += 1;
    assert.notEqual(await token(), third);
  });

  it("is requested again no more often, whatever is refused for an hour", async () => {
    for (const roles of [["Mail.Send"], []]) {
      const { state, login, token } = open({ lifetime: 24 * HOUR, roles });
      for (let second = 0; second < 3600; second++) {
        login().reject(await token());
        state.now += 1000;
      }
      // One at the login, one immediately, one in each minute.
      assert.equal(state.requests, 1 + 60);
    }
  });

  it("is dropped once, however many messages it was refused for", async () => {
    const { state, login, token } = open();
    const first = await token();
    state.now += 10 * MINUTE;
    for (let i = 0; i < 10; i++) {
      login().reject(first);
      await token();
    }
    assert.equal(state.requests, 2);
  });

  it("is dropped also when Graph has taken another message with it meanwhile", async () => {
    // A mailbox outside of the app's scope, or large messages without Mail.ReadWrite: who grants
    // that does not wait for the token's end, however much else is sent.
    const { state, login, token } = open();
    const first = await token();
    login().reject(first);
    login().confirm(first);
    assert.notEqual(await token(), first);
    assert.equal(state.requests, 2);
  });

  it("is another account's no business", async () => {
    const { state, login, token } = open();
    const first = await token("a");
    const other = await token("b");
    state.now += 10 * MINUTE;
    login("b").reject(first);
    assert.equal(await token("a"), first);
    login("a").reject(first);
    assert.equal(await token("b"), other);
    assert.notEqual(await token("a"), first);
    assert.equal(state.requests, 3);
  });
});

describe("a token without Mail.Send in its roles", () => {
  it("is requested immediately when Graph has refused it: the role may have been granted", async () => {
    const { state, login, token } = open({ roles: [] });
    const first = await token();
    state.roles = ["Mail.Send"];
    state.now += 5_000;
    login().reject(first);
    const granted = await token();
    assert.notEqual(granted, first);
    state.now += 50 * MINUTE;
    assert.equal(await token(), granted);
    assert.equal(state.requests, 2);
  });

  it("is used, and asked for again after a minute, not before", async () => {
    const { state, token } = open({ roles: ["User.Read.All"] });
    const first = await token();
    state.now += MINUTE - 1;
    assert.equal(await token(), first);
    assert.equal(state.requests, 1);
    state.now += 1;
    assert.notEqual(await token(), first);
    assert.equal(state.requests, 2);
  });

  it("stays doubtful though Graph has accepted a message with the one before it", async () => {
    const { state, login, token } = open({ roles: [] });
    const first = await token();
    login().reject(first);
    const second = await token();
    login().confirm(first);
    state.now += MINUTE;
    assert.notEqual(await token(), second);
    assert.equal(state.requests, 3);
  });

  it("is kept for its whole life once Graph has taken a message (RBAC for Applications)", async () => {
    const { state, login, token } = open({ roles: [] });
    const first = await token();
    login().confirm(first);
    state.now += 50 * MINUTE;
    assert.equal(await token(), first);
    assert.equal(state.requests, 1);
  });

  it("is followed by one that is kept, once the permission is granted", async () => {
    const { state, token } = open({ roles: [] });
    await token();
    state.roles = ["Mail.Read", "Mail.Send"];
    state.now += MINUTE;
    const granted = await token();
    state.now += 50 * MINUTE;
    assert.equal(await token(), granted);
    assert.equal(state.requests, 2);
  });

  it("serves on while Entra cannot be reached, asking again each minute, if it is only doubtful", async () => {
    const { state, token, login } = open();
    const first = await token();
    state.now += 2 * MINUTE;
    login().reject(first);
    state.refuse = unreachable("ECONNREFUSED", "refused");
    assert.equal(await token(), first);
    assert.equal(await token(), first);
    assert.equal(state.requests, 2, "asked once within the minute");
    state.now += MINUTE;
    state.refuse = undefined;
    assert.notEqual(await token(), first);
    assert.equal(state.requests, 3);
  });
});

describe("an account that Entra ID throttles", () => {
  const throttled = (seconds: number, status = 429) =>
    refusalFor({
      status,
      error: "temporarily_unavailable",
      numbers: [90055],
      retryAfter: seconds * 1000,
    });

  it("retries when Retry-After is over, and gets 454 with the reason meanwhile", async () => {
    const { state, login } = open();
    const refusal = state.refuse = throttled(120);
    assert.equal(await login().token(SCOPE), refusal);
    state.refuse = undefined;
    for (const passed of [0, 1_000, 118_999]) {
      state.now += passed;
      const again = await login().token(SCOPE);
      assert("type" in again && again.type === "later");
      assert.deepEqual(again.reply, refusal.reply);
      assert.match(again.detail, /throttles this tenant|asks to try later/);
      assert.match(
        again.detail,
        / \(remembered: Entra ID is asked again in \d+ s, as it has asked\)$/,
      );
    }
    assert.equal(state.requests, 1);
    state.now += 1;
    assert("value" in await login().token(SCOPE));
    assert.equal(state.requests, 2);
  });

  it("waits with whatever secret; other accounts do not", async () => {
    const { state, source, login } = open();
    state.refuse = throttled(60);
    await login("a").token(SCOPE);
    state.refuse = undefined;
    assert("type" in await login("b").token(SCOPE));
    assert.equal(state.requests, 1);
    for (const ids of [{ clientId: "other" }, { tenantId: "other" }]) {
      assert("value" in await source.login({ ...credentials("a"), ...ids }).token(SCOPE));
    }
    assert.equal(state.requests, 3);
  });

  it("waits for an hour at most, and not without Retry-After", async () => {
    const { state, login } = open();
    state.refuse = throttled(86_400);
    await login().token(SCOPE);
    state.now += HOUR - 1;
    await login().token(SCOPE);
    assert.equal(state.requests, 1);
    state.now += 1;
    state.refuse = throttled(0);
    await login().token(SCOPE);
    await login().token(SCOPE);
    assert.equal(state.requests, 3);
  });

  it("waits because of 429, or the equivalent error number, not because of a fault", () => {
    const refused = (status: number, number: number) =>
      refusalFor({ status, error: "x", numbers: [number], retryAfter: 5000 }).retryAfter;
    assert.equal(refused(429, 1), 5000);
    assert.equal(refused(400, 50196), 5000);
    assert.equal(refused(503, 90033), undefined);
    assert.equal(
      refusalFor({ status: 429, error: undefined, numbers: [], retryAfter: 1 }).retryAfter,
      1,
    );
  });

  it("goes on with the token that it has, also with one that Graph has refused", async () => {
    const { state, login, token } = open({ roles: [] });
    const first = await token();
    state.now += MINUTE;
    state.refuse = throttled(600);
    assert.equal(await token(), first);
    login().reject(first);
    state.now += 5 * MINUTE;
    assert.equal(await token(), first);
    assert.equal(state.requests, 2);
    state.now += 5 * MINUTE;
    state.refuse = undefined;
    assert.notEqual(await token(), first);
  });

  it("gets the refusal of its secret while that is remembered", async () => {
    const { state, login } = open();
    state.refuse = refusalFor({ status: 401, error: "invalid_client", numbers: [7000215] });
    await login("wrong").token(SCOPE);
    state.refuse = throttled(60);
    await login("another").token(SCOPE);
    const result = await login("wrong").token(SCOPE);
    assert("type" in result && result.type === "refused");
    assert.equal(state.requests, 2);
  });
});
