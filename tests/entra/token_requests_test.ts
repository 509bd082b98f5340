/** The number of requests to Entra ID, counted by the simulation: one per token, and no others. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CloudServer, type CloudServerOptions, startCloud } from "../support/cloud.ts";
import {
  CLIENT,
  type Logins,
  type LoginsOptions,
  openLogins,
  SCOPE,
  TENANT,
  USERNAME,
} from "../support/logins.ts";

async function withCloud(
  test: (logins: Logins, cloud: CloudServer) => Promise<void>,
  options: CloudServerOptions = {},
  loginOptions: LoginsOptions = {},
): Promise<void> {
  const cloud = await startCloud(options);
  const logins = openLogins(cloud.authority, loginOptions);
  try {
    await test(logins, cloud);
  } finally {
    logins.close();
    await cloud.close();
  }
}

const TOKEN_REQUEST = `POST /entra/${TENANT}/oauth2/v2.0/token`;

describe("a token", () => {
  it("costs one request, and no discovery (OAuth 2.0, RFC 6749 §4.4)", () =>
    withCloud(async ({ login }, { seen }) => {
      assert.equal((await login(USERNAME, "a secret")).type, "account");
      assert.deepEqual(seen, [TOKEN_REQUEST]);
    }));

  it("is requested as Entra ID documents: grant, client, secret and the .default scope", async () => {
    const forms: Promise<string>[] = [];
    const intercept = (context: { req: { raw: Request } }) => {
      forms.push(context.req.raw.clone().text());
      return undefined;
    };
    await withCloud(
      async ({ login }) => {
        assert.equal((await login(USERNAME, "a secret")).type, "account");
      },
      { entra: { intercept } },
    );
    const form = new URLSearchParams(await forms[0]!);
    assert.equal(form.get("grant_type"), "client_credentials");
    assert.equal(form.get("client_id"), CLIENT);
    assert.equal(form.get("client_secret"), "a secret");
    // MSAL adds the OpenID scopes to others, which this flow would refuse.
    assert.equal(form.get("scope"), "https://graph.microsoft.com/.default");
  });

  it("is requested once by a hundred concurrent logins", () =>
    withCloud(async ({ login }, { entra, seen }) => {
      const results = await Promise.all(
        Array.from({ length: 100 }, () => login(USERNAME, "a secret")),
      );
      assert(results.every(({ type }) => type === "account"));
      assert.equal(entra.requests.get(`${TENANT}/${CLIENT}`), 1);
      assert.equal(seen.length, 1);
    }));

  it("is requested once by a hundred successive logins", () =>
    withCloud(async ({ login }, { seen }) => {
      for (let i = 0; i < 100; i++) {
        assert.equal((await login(USERNAME, "a secret")).type, "account");
      }
      assert.equal(seen.length, 1);
    }));

  it("is one for each client and for each tenant", () =>
    withCloud(async ({ login }, { entra }) => {
      for (let round = 0; round < 2; round++) {
        await login(`${TENANT}@${CLIENT}`, "a secret");
        await login(`${TENANT}@${TENANT}`, "a secret");
        await login(`${CLIENT}@${CLIENT}`, "a secret");
      }
      assert.deepEqual([...entra.requests.values()], [1, 1, 1]);
    }));
});

describe("a secret", () => {
  it("that is wrong gets 535 after a right one, and Entra is asked once in a while", () =>
    withCloud(async ({ login }, { entra }) => {
      assert.equal((await login(USERNAME, "a secret")).reply.code, 235);
      const refusals = [];
      for (let i = 0; i < 3; i++) refusals.push(await login(USERNAME, "wrong-secret"));
      assert.deepEqual(refusals.map(({ reply }) => reply.code), [535, 535, 535]);
      assert.equal(new Set(refusals.map(({ reply }) => reply.text)).size, 1);
      const details = refusals.map((refusal) => "detail" in refusal ? refusal.detail : "");
      assert.doesNotMatch(details[0]!, /remembered/);
      assert.match(details[1]!, /^AADSTS7000215: .*\(remembered: Entra ID said so 0 s ago/);
      assert.equal(entra.requests.get(`${TENANT}/${CLIENT}`), 2);
      // The right one is still known.
      assert.equal((await login(USERNAME, "a secret")).reply.code, 235);
      assert.equal(entra.requests.get(`${TENANT}/${CLIENT}`), 2);
    }));

  it("that is right gets 235 after a wrong one", () =>
    withCloud(async ({ login }, { entra }) => {
      assert.equal((await login(USERNAME, "wrong-secret")).reply.code, 535);
      assert.equal((await login(USERNAME, "a secret")).reply.code, 235);
      assert.equal(entra.requests.get(`${TENANT}/${CLIENT}`), 2);
    }));

  it("never gets the token of another one, also not at the same time", () =>
    withCloud(async ({ login }, { entra }) => {
      const results = await Promise.all([
        login(USERNAME, "a secret"),
        login(USERNAME, "wrong-secret"),
        login(USERNAME, "another secret"),
        login(USERNAME, "a secret"),
        login(USERNAME, "expired-secret"),
      ]);
      assert.deepEqual(results.map(({ reply }) => reply.code), [235, 535, 235, 235, 535]);
      assert.equal(entra.requests.get(`${TENANT}/${CLIENT}`), 4);
      const [one, , other, same] = results;
      assert(one?.type === "account" && other?.type === "account" && same?.type === "account");
      const token = await one.authorization.token(SCOPE);
      assert.equal(token, await same.authorization.token(SCOPE));
      assert.notEqual(token, await other.authorization.token(SCOPE));
    }));
});

describe("a failure of Entra ID", () => {
  it("is not remembered: the next login makes a request immediately", async () => {
    const answers = [429, 503, 500];
    await withCloud(
      async ({ login }, { seen }) => {
        for (let i = 0; i < 3; i++) {
          assert.equal((await login(USERNAME, "a secret")).reply.code, 454);
        }
        assert.equal((await login(USERNAME, "a secret")).reply.code, 235);
        assert.equal(seen.length, 4);
      },
      {
        entra: {
          intercept(context) {
            const status = answers.shift();
            if (status === undefined) return undefined;
            const headers = status === 429 ? {} : { "Retry-After": "60" };
            return context.json({ error: "temporarily_unavailable" }, status as 500, headers);
          },
        },
      },
    );
  });

  for (const form of ["seconds", "a date"]) {
    it(`is left alone after 429 until Retry-After is over (RFC 9110 §10.2.3: ${form})`, async () => {
      let now = 1_000_000;
      await withCloud(
        async ({ login }, { faults, seen }) => {
          const at = form === "seconds" ? 30 : new Date(Date.now() + 30_500).toUTCString();
          faults.add({ on: "token", status: 429, number: 90055, retryAfter: at });
          const first = await login(USERNAME, "a secret");
          assert.match(JSON.stringify(first.reply), /454.*4\.7\.0.*AADSTS90055/);
          for (const passed of [0, 1_000, 27_000]) {
            now += passed;
            const again = await login(USERNAME, "a secret");
            assert.deepEqual(again.reply, first.reply);
            assert("detail" in again && /asked again in \d+ s/.test(again.detail));
            // The same app, whose throttle it is.
            assert.equal((await login(USERNAME, "another secret")).reply.code, 454);
          }
          assert.equal(seen.length, 1);
          assert.equal((await login(`${CLIENT}@${CLIENT}`, "a secret")).reply.code, 235);
          now += 4_000;
          assert.equal((await login(USERNAME, "a secret")).reply.code, 235);
          assert.equal(seen.length, 3);
        },
        {},
        { clock: { now: () => now } },
      );
    });
  }

  it("does not take the token away from an account that has one", async () => {
    let broken = false;
    await withCloud(
      async ({ login }, { seen }) => {
        assert.equal((await login(USERNAME, "a secret")).reply.code, 235);
        broken = true;
        assert.equal((await login(USERNAME, "a secret")).reply.code, 235);
        assert.equal((await login(USERNAME, "wrong-secret")).reply.code, 454);
        assert.equal(seen.length, 2);
      },
      { entra: { intercept: (context) => broken ? context.text("", 500) : undefined } },
    );
  });
});
