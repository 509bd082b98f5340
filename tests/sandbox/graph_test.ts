/** The simulated Graph: sendMail in MIME mode, strict about what the real one refuses. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { IssuedToken } from "../../src/sandbox/entra.ts";
import { type GraphOptions, REQUEST_LIMIT, SandboxGraph } from "../../src/sandbox/graph.ts";
import { CLIENT, TENANT } from "../support/logins.ts";

const GRAPH = "https://graph.microsoft.com";
const MESSAGE = "From: ann@x.test\r\nTo: bea@x.test\r\n\r\nHello\r\n";

function issued(roles: readonly string[]): IssuedToken {
  return { tenant: TENANT, client: CLIENT, audience: GRAPH, roles, expiresAt: Date.now() + 1000 };
}
const TOKENS = new Map([
  ["good", issued(["Mail.Send"])],
  ["roleless", issued([])],
  ["for-outlook", { ...issued(["Mail.Send"]), audience: "https://outlook.office365.com" }],
  ["reader", issued(["Mail.Read", "Mail.ReadWrite"])],
]);

interface Ask {
  readonly mailbox?: string;
  readonly authorization?: string;
  readonly type?: string;
  readonly method?: string;
  /** Encoded; the good message by default. */
  readonly body?: string;
  readonly path?: string;
}

function encode(message: string): string {
  return Buffer.from(message, "latin1").toString("base64");
}

/** One request to a simulation, and what it delivered. */
async function ask(
  {
    mailbox = "ann@x.test",
    authorization = "Bearer good",
    type = "text/plain",
    method = "POST",
    body = encode(MESSAGE),
    path = `/v1.0/users/${encodeURIComponent(mailbox)}/sendMail`,
  }: Ask = {},
  options: Partial<GraphOptions> = {},
) {
  const delivered: { mailbox: string; text: string }[] = [];
  const graph = new SandboxGraph({
    verify: (token) => TOKENS.get(token),
    deliver: ({ mailbox: to, raw }) =>
      void delivered.push({ mailbox: to, text: Buffer.from(raw).toString("latin1") }),
    ...options,
  });
  const headers = new Headers();
  if (authorization !== "") headers.set("Authorization", authorization);
  if (type !== "") headers.set("Content-Type", type);
  const response = await graph.routes.request(path, {
    method,
    headers,
    ...(method === "GET" ? {} : { body: Buffer.from(body, "latin1") }),
  });
  const text = await response.text();
  const error = text === ""
    ? undefined
    : (JSON.parse(text) as { error: { code: string; message: string; innerError: unknown } }).error;
  return { graph, response, error, text, delivered };
}

interface Refusal extends Ask {
  readonly what: string;
  readonly status: number;
  readonly code: string;
}

const OVER = "A".repeat(REQUEST_LIMIT + 4);

const REFUSALS: readonly Refusal[] = [
  { what: "another method", method: "PUT", status: 405, code: "Request_BadRequest" },
  { what: "GET", method: "GET", status: 405, code: "Request_BadRequest" },
  {
    what: "a token for another service",
    authorization: "Bearer for-outlook",
    status: 401,
    code: "InvalidAuthenticationToken",
  },
  { what: "no token", authorization: "", status: 401, code: "InvalidAuthenticationToken" },
  {
    what: "an unknown token",
    authorization: "Bearer x",
    status: 401,
    code: "InvalidAuthenticationToken",
  },
  {
    what: "another scheme",
    authorization: "Basic good",
    status: 401,
    code: "InvalidAuthenticationToken",
  },
  {
    what: "a token without a scheme",
    authorization: "good",
    status: 401,
    code: "InvalidAuthenticationToken",
  },
  {
    what: "a token without roles",
    authorization: "Bearer roleless",
    status: 403,
    code: "ErrorAccessDenied",
  },
  {
    what: "a token without Mail.Send",
    authorization: "Bearer reader",
    status: 403,
    code: "ErrorAccessDenied",
  },
  { what: "a request over 4 MB", body: OVER, status: 413, code: "RequestEntityTooLarge" },
  { what: "JSON", type: "application/json", status: 400, code: "BadRequest" },
  { what: "no content type", type: "", status: 400, code: "BadRequest" },
  { what: "text/plainer", type: "text/plainer", status: 400, code: "BadRequest" },
  { what: "a mailbox that is no address", mailbox: "ann", status: 404, code: "ErrorInvalidUser" },
  { what: "nobody's mailbox", mailbox: "Nobody@a.example", status: 404, code: "ErrorInvalidUser" },
  { what: "a mailbox without a domain", mailbox: "ann@", status: 404, code: "ErrorInvalidUser" },
  { what: "an empty body", body: "", status: 400, code: "ErrorMimeContentInvalidBase64String" },
  {
    what: "the message unencoded",
    body: MESSAGE,
    status: 400,
    code: "ErrorMimeContentInvalidBase64String",
  },
  {
    what: "base64 that is cut off",
    body: encode(MESSAGE).slice(0, -1),
    status: 400,
    code: "ErrorMimeContentInvalidBase64String",
  },
  {
    what: "base64url",
    body: `${encode(MESSAGE).slice(0, -4)}_-_-`,
    status: 400,
    code: "ErrorMimeContentInvalidBase64String",
  },
  {
    what: "padding in the middle",
    body: "Zg==Zg==",
    status: 400,
    code: "ErrorMimeContentInvalidBase64String",
  },
  {
    what: "a bare line feed",
    body: encode(MESSAGE.replace("Hello", "Hel\nlo")),
    status: 400,
    code: "ErrorMimeContentInvalid",
  },
  {
    what: "a bare line feed at the very beginning",
    body: encode(`\n${MESSAGE}`),
    status: 400,
    code: "ErrorMimeContentInvalid",
  },
  {
    what: "a message without recipients",
    body: encode("From: ann@x.test\r\n\r\nTo: bea@x.test\r\n"),
    status: 400,
    code: "ErrorInvalidRecipients",
  },
  {
    what: "a From whose display name has a bare at sign",
    body: encode(MESSAGE.replace("ann@x.test", "ann@x.test <ann@x.test>")),
    status: 403,
    code: "ErrorSendAsDenied",
  },
  {
    what: "a message to an empty group",
    body: encode("To: undisclosed-recipients:;\r\n\r\n"),
    status: 400,
    code: "ErrorInvalidRecipients",
  },
];

describe("the simulated Graph", () => {
  it("accepts a good message with 202 and only a request id, and delivers it whole", async () => {
    const { response, text, delivered } = await ask();
    assert.equal(response.status, 202);
    assert.equal(text, "");
    assert.match(response.headers.get("request-id") ?? "", /^[0-9a-f-]{36}$/);
    assert.deepEqual(delivered, [{ mailbox: "ann@x.test", text: MESSAGE }]);
  });

  it("accepts base64 with line breaks, as in the documentation's example", async () => {
    const wrapped = encode(MESSAGE).replace(/.{10}/g, "$&\r\n");
    const { delivered } = await ask({ body: wrapped, type: "text/plain; charset=utf-8" });
    assert.deepEqual(delivered.map(({ text }) => text), [MESSAGE]);
  });

  for (const field of ["To", "Cc", "Bcc"]) {
    it(`accepts a message whose only recipient is in ${field}`, async () => {
      const { response } = await ask({ body: encode(`${field}: bea@x.test\r\n\r\n`) });
      assert.equal(response.status, 202);
    });
  }

  for (const mailbox of ["a+b@x.test", "o'neil@x.test", "ü@x.test", "a/b@x.test", TENANT]) {
    it(`knows the mailbox ${mailbox}`, async () => {
      const { delivered } = await ask({ mailbox });
      assert.deepEqual(delivered.map(({ mailbox }) => mailbox), [mailbox]);
    });
  }

  it("accepts a request of exactly 4 MB", async () => {
    const head = "To: bea@x.test\r\n\r\n";
    const body = encode(head + "x".repeat(REQUEST_LIMIT / 4 * 3 - head.length));
    assert.equal(body.length, REQUEST_LIMIT);
    assert.equal((await ask({ body })).response.status, 202);
  });

  for (const { what, status, code, ...asked } of REFUSALS) {
    it(`refuses ${what} with ${status} ${code}, and delivers nothing`, async () => {
      const { response, error, delivered } = await ask(asked);
      assert.equal(response.status, status);
      assert.equal(error?.code, code);
      assert.equal(typeof error?.message, "string");
      assert(error?.innerError !== undefined);
      assert.match(response.headers.get("request-id") ?? "", /^[0-9a-f-]{36}$/);
      assert.deepEqual(delivered, []);
    });
  }

  it("refuses a mailbox that is configured not to exist", async () => {
    const { error, delivered } = await ask({}, { hasMailbox: () => false });
    assert.equal(error?.code, "ErrorInvalidUser");
    assert.deepEqual(delivered, []);
  });

  it("has no other endpoint, except the beta version", async () => {
    for (
      const path of [
        "/",
        "/v1.0/me/sendMail",
        "/beta/users/a@x.test/sendMail",
        "/v1.0/users/a@x.test",
      ]
    ) {
      const { response, error } = await ask({ path });
      assert.deepEqual([response.status, error?.code], [400, "BadRequest"], path);
    }
  });

  it("sends a configured response, to rehearse failures", async () => {
    const { response, delivered } = await ask({}, {
      intercept: () => new Response(null, { status: 503, headers: { "Retry-After": "1" } }),
    });
    assert.deepEqual([response.status, response.headers.get("retry-after")], [503, "1"]);
    assert.deepEqual(delivered, []);
  });

  it("counts its requests, and their maximum concurrency", async () => {
    const release = Promise.withResolvers<void>();
    const graph = new SandboxGraph({
      verify: (token) => TOKENS.get(token),
      deliver: () => release.promise,
    });
    const send = () =>
      graph.routes.request("/v1.0/users/ann@x.test/sendMail", {
        method: "POST",
        headers: { Authorization: "Bearer good", "Content-Type": "text/plain" },
        body: encode(MESSAGE),
      });
    const sending = [send(), send(), send()];
    release.resolve();
    await Promise.all(sending);
    await send();
    assert.deepEqual([graph.requests, graph.mostInFlight], [4, 3]);
  });
});

describe("a request to the simulated Graph without a token", () => {
  it("is 401 in Graph's form of an error", async () => {
    const graph = new SandboxGraph({ verify: () => undefined, deliver() {} });
    const response = await graph.routes.request("/v1.0/me");
    assert.equal(response.status, 401);
    const { error } = await response.json() as { error: { code: string } };
    assert.equal(error.code, "InvalidAuthenticationToken");
  });
});
