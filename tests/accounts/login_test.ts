/** The reply to a login (RFC 4954 §6), with the simulated Entra ID. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { LoginResult } from "../../src/accounts/account.ts";
import { shortId } from "../../src/accounts/username.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, type Logins, openLogins, SCOPE, TENANT, USERNAME } from "../support/logins.ts";
import { closedPort } from "../support/raw_server.ts";

let cloud: CloudServer;
let logins: Logins;

before(async () => {
  cloud = await startCloud();
  logins = openLogins(cloud.authority);
});
after(async () => {
  logins.close();
  await cloud.close();
});

function line({ reply }: LoginResult): string {
  return formatReply(reply);
}

describe("a login", () => {
  it("gets 235 2.7.0 with a right secret, in every form of the ids (RFC 4954 §6)", async () => {
    for (const tenant of [TENANT, TENANT.toUpperCase(), shortId(TENANT), `${shortId(TENANT)}==`]) {
      const result = await logins.login(`${tenant}@${shortId(CLIENT)}.example.com`, "a secret");
      assert(result.type === "account");
      assert.match(line(result), /^235 2\.7\.0 /);
      assert.deepEqual(
        [result.account.tenantId, result.account.clientId],
        [TENANT, CLIENT],
      );
      const token = await result.authorization.token(SCOPE);
      assert("value" in token);
      assert.equal(cloud.entra.verify(token.value.reveal())?.client, CLIENT);
    }
    // All of them are one account: Entra ID got one request.
    assert.equal(cloud.entra.requests.get(`${TENANT}/${CLIENT}`), 1);
  });

  it("shares its right to send with the others that have the same secret, and with no other", async () => {
    const authorization = async (secret: string) => {
      const result = await logins.login(USERNAME, secret);
      assert(result.type === "account");
      return result.authorization;
    };
    const [first, second, other] = [
      await authorization("a secret"),
      await authorization("a secret"),
      await authorization("another secret"),
    ];
    assert.equal(first, second);
    assert.notEqual(first, other);
  });

  it("may have any UTF-8 as its secret, which reaches Entra ID unchanged", async () => {
    const forms: Promise<string>[] = [];
    const strict = await startCloud({
      entra: {
        intercept(context) {
          forms.push(context.req.raw.clone().text());
          return undefined;
        },
      },
    });
    const { login, close } = openLogins(strict.authority);
    const secrets = [
      "a&b=c+d %20",
      "Grüße, 世界 🔑",
      "~8Q~x.y_z-",
      "'\"\\",
      " ",
      "a\nb",
      "%",
      "x".repeat(5000),
    ];
    try {
      for (const secret of secrets) assert.equal((await login(USERNAME, secret)).type, "account");
      const seen = (await Promise.all(forms)).map((form) => new URLSearchParams(form));
      assert.deepEqual(seen.map((form) => form.get("client_secret")), secrets);
    } finally {
      close();
      await strict.close();
    }
  });

  const REFUSED: readonly (readonly [what: string, name: string, secret: string, text: RegExp])[] =
    [
      ["a wrong secret", USERNAME, "wrong-secret", /AADSTS7000215: the client secret is wrong/],
      ["an expired secret", USERNAME, "expired-secret", /AADSTS7000222: .* expired; add a new one/],
      ["an empty password", USERNAME, "", /password is empty/],
      ["a malformed username", "ann", "a secret", /The username has no "@"/],
      ["a malformed client id", `${TENANT}@client`, "a secret", /The client id is neither/],
      ["an empty username", "", "a secret", /The username is empty/],
    ];
  for (const [what, name, secret, text] of REFUSED) {
    it(`gets 535 5.7.8 with ${what}, and the reason (RFC 4954 §6)`, async () => {
      const result = await logins.login(name, secret);
      assert(result.type === "refused");
      assert.match(line(result), /^535 5\.7\.8 /);
      assert.match(line(result), text);
      assert(result.detail.length > 0);
    });
  }

  it("with a malformed username or an empty password makes no request to Entra ID", async () => {
    const before = cloud.seen.length;
    await logins.login("ann", "a secret");
    await logins.login(`${TENANT}@${TENANT}`, "");
    await logins.login("printer@lookup", "a secret");
    assert.equal(cloud.seen.length, before);
  });

  it("gets 454 4.7.0 when Entra ID refuses the connection (RFC 4954 §6)", async () => {
    const { login, close } = openLogins(new URL(`http://127.0.0.1:${await closedPort()}/`));
    const result = await login(USERNAME, "a secret");
    assert(result.type === "later");
    assert.match(line(result), /^454 4\.7\.0 .*ECONNREFUSED/);
    close();
  });

  it("gets 535 5.7.8 for a lookup without a table, as from the Python relay", async () => {
    const result = await logins.login("printer@lookup.example.com", "a secret");
    assert(result.type === "refused");
    assert.match(
      line(result),
      /^535 5\.7\.8 Usernames of the form id@lookup need LOOKUP_FILE or AZURE_TABLES_URL/,
    );
  });

  it("uses only the configured delimiter", async () => {
    const { login, close } = openLogins(cloud.authority, { delimiter: "|" });
    assert.equal((await login(`${TENANT}|${CLIENT}`, "a secret")).type, "account");
    assert.equal((await login(USERNAME, "a secret")).type, "refused");
    close();
  });

  it("never contains the password, in any field of its result", async () => {
    for (const secret of ["wrong-secret", "expired-secret", "right-secret"]) {
      for (const name of [USERNAME, "ann", "printer@lookup"]) {
        const result = await logins.login(name, secret);
        assert(!JSON.stringify(result).includes(secret));
      }
    }
  });
});
