/**
 * A message whose token Graph refuses, with the simulated Entra ID and Graph: a new token
 * immediately, and no other requests, counted where they arrive.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { Authorization } from "../../src/accounts/account.ts";
import type { NotSent, Outcome } from "../../src/delivery/delivery.ts";
import { refusalFor } from "../../src/entra/entra_errors.ts";
import { ownRefusal } from "../../src/entra/own_refusal.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import { HttpClient } from "../../src/http/client.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, type Logins, openLogins, SCOPE, TENANT, USERNAME } from "../support/logins.ts";
import { accountWith, attemptOf, mailOf, MESSAGE } from "../support/submissions.ts";
import { GRAPH_OPTIONS } from "./options.ts";

const MINUTE = 60_000;

let cloud: CloudServer;
/** The app's roles in tokens issued from now on. */
let roles: readonly string[];
const opened: Logins[] = [];
before(async () => {
  cloud = await startCloud({ entra: { roles: () => roles } });
});
afterEach(async () => {
  for (const logins of opened.splice(0)) logins.close();
  cloud.faults.clear();
  await cloud.inbox.clear();
});
after(() => cloud.close());

/** An account that has just logged in, with a clock for its tokens that the test moves. */
async function open(granted: readonly string[] = ["Mail.Send", "Mail.ReadWrite"]) {
  roles = granted;
  const begun = cloud.seen.length;
  let passed = 0;
  const logins = openLogins(cloud.authority, {
    clock: { now: () => performance.now() + passed },
  });
  opened.push(logins);
  const result = await logins.login(USERNAME, "a secret");
  assert(result.type === "account");
  const { authorization } = result;
  const backend = new GraphBackend({
    http: logins.http,
    endpoint: cloud.endpoint,
    ...GRAPH_OPTIONS,
    largeMessages: "upload",
  });
  const attempt = attemptOf(authorization);
  const large = new Uint8Array(4_000_000).fill(65).map((octet, at) =>
    at % 77 === 75 ? 13 : at % 77 === 76 ? 10 : octet
  );
  return {
    authorization,
    pass: (time: number) => void (passed += time),
    async send(size: "small" | "large" = "small"): Promise<string> {
      const message = size === "small" ? [MESSAGE] : [LARGE_HEAD, large, LARGE_END];
      const outcome = await backend.deliver(mailOf("ann@x.test", message), attempt);
      return formatReply(outcome.reply).trimEnd();
    },
    /** Requests since the login, including it, by purpose. */
    asked(): Record<string, number> {
      const counts: Record<string, number> = {};
      for (const line of cloud.seen.slice(begun)) {
        const what = line.includes("/token") ? "token" : line.replace(/^(\S+) .*\//, "$1 ");
        counts[what] = (counts[what] ?? 0) + 1;
      }
      return counts;
    },
  };
}

const LARGE_HEAD = new TextEncoder().encode(
  'From: ann@x.test\r\nTo: bea@x.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"' +
    "\r\n\r\n--b\r\n\r\nText\r\n--b\r\nContent-Type: application/x; name=a.bin\r\n" +
    "Content-Disposition: attachment; filename=a.bin\r\n\r\n",
);
const LARGE_END = new TextEncoder().encode("\r\n--b--\r\n");

async function tokenOf(authorization: Authorization): Promise<string> {
  const token = await authorization.token(SCOPE);
  assert("value" in token);
  return token.value.reveal();
}

describe("a token that Graph refuses", () => {
  it("because a role has just been granted is replaced, and the message sent once", async () => {
    const { send, asked } = await open([]);
    roles = ["Mail.Send"];
    assert.match(await send(), /^250 2\.0\.0 /);
    assert.deepEqual(asked(), { token: 2, "POST sendMail": 2 });
    assert.equal(cloud.inbox.list().length, 1);
    assert.match(await send(), /^250 /);
    assert.deepEqual(asked(), { token: 2, "POST sendMail": 3 });
  });

  it("because it was revoked in its first minute is replaced, and the message sent once", async () => {
    const { authorization, send, asked } = await open();
    assert.match(await send(), /^250 /);
    cloud.entra.revoke(await tokenOf(authorization));
    assert.match(await send(), /^250 /);
    assert.deepEqual(asked(), { token: 2, "POST sendMail": 3 });
    assert.equal(cloud.inbox.list().length, 2);
  });

  for (
    const [status, code] of [[403, "ErrorSendAsDenied"], [403, "ErrorAccessDenied"], [
      401,
      "InvalidAuthenticationToken",
    ]] as const
  ) {
    it(`with ${status} ${code} permanently is replaced immediately, then once a minute`, async () => {
      const { send, asked, pass } = await open();
      cloud.faults.add({ on: "sendMail", times: 1000, status, code });
      const replies = new Set<string>();
      for (let i = 0; i < 10; i++) replies.add(await send());
      // The first message made two requests, each of the others one.
      assert.deepEqual(asked(), { token: 2, "POST sendMail": 11 });
      pass(MINUTE);
      for (let i = 0; i < 10; i++) replies.add(await send());
      assert.deepEqual(asked(), { token: 3, "POST sendMail": 21 });
      assert.equal(replies.size, 1);
      assert.match([...replies][0]!, status === 403 ? /^550 5\.7\.1 / : /^451 4\.7\.0 /);
      assert(([...replies][0]!).includes(`${code}: `));
      assert.equal(cloud.inbox.list().length, 0);
    });
  }

  it("for concurrent messages is replaced once for all of them", async () => {
    const { send, asked } = await open([]);
    roles = ["Mail.Send"];
    const replies = await Promise.all(Array.from({ length: 12 }, () => send()));
    assert(replies.every((reply) => reply.startsWith("250 ")));
    const { token, "POST sendMail": sent } = asked();
    assert.equal(token, 2);
    assert(sent! > 12 && sent! <= 24, String(sent));
    assert.equal(cloud.inbox.list().length, 12);
  });

  it("for a draft is replaced once, and the draft created with the new one", async () => {
    const { send, asked } = await open(["Mail.Send"]);
    roles = ["Mail.Send", "Mail.ReadWrite"];
    assert.match(await send("large"), /^250 2\.0\.0 /);
    const { token, "POST messages": drafts, "POST send": sent } = asked();
    assert.deepEqual([token, drafts, sent], [2, 2, 1]);
    assert.equal(cloud.inbox.list().length, 1);
  });

  it("for a draft, and refused again when new, is not replaced for later requests", async () => {
    const { send, asked } = await open(["Mail.Send"]);
    await send("large");
    await send("large");
    const { token, "POST messages": drafts } = asked();
    assert.deepEqual([token, drafts], [2, 3]);
  });

  it("stays in use while Entra ID throttles the app: the reply is Graph's", async () => {
    const { send, asked, pass } = await open([]);
    cloud.faults.add({ on: "token", times: 10, status: 429, retryAfter: 600 });
    for (let i = 0; i < 3; i++) {
      assert.match(await send(), /^550 5\.7\.1 /);
      pass(2 * MINUTE);
    }
    assert.deepEqual(asked(), { token: 2, "POST sendMail": 3 });
    roles = ["Mail.Send"];
    cloud.faults.clear();
    pass(5 * MINUTE);
    assert.match(await send(), /^250 /);
    assert.equal(asked()["token"], 3);
  });
});

describe("a credential of the relay's own that Entra ID refuses in a session", () => {
  it("is 451, not the device's fault, and its remedy is for the log alone", async () => {
    const { type, reply, code, detail } = await refusedOutcome() as NotSent;
    assert.equal(type, "later");
    assert.match(formatReply(reply), /^451 4\.7\.0 .*AADSTS700027: the relay's own credential/);
    assert.doesNotMatch(formatReply(reply), /upload|ABCD/);
    assert.equal(code, "AADSTS700027");
    assert.match(detail, /upload the certificate with the thumbprint ABCD /);
  });
});

async function refusedOutcome(): Promise<Outcome> {
  const refusal = refusalFor({ status: 401, error: "invalid_client", numbers: [700027] });
  const certificate = { thumbprint: "EF", sha1: "ABCD", notBefore: 0, notAfter: 4e12 };
  const facts = { name: "certificate", source: "file", certificate } as const;
  const app = { tenantId: TENANT, clientId: CLIENT };
  const authorization = accountWith(ownRefusal(refusal, facts, app, 0));
  const http = new HttpClient();
  const backend = new GraphBackend({
    http,
    endpoint: cloud.endpoint,
    ...GRAPH_OPTIONS,
    largeMessages: "upload",
  });
  const outcome = await backend.deliver(mailOf("ann@x.test", [MESSAGE]), attemptOf(authorization));
  http.close();
  return outcome;
}
