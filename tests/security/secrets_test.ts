/**
 * No secret in a log, by type and not by pattern: whatever is logged, and whatever a library keeps in
 * its errors (CWE-532). Each kind of error and object that the relay handles is made here with secrets in
 * all places that its kind has, and logged in every way that the code uses.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { format, inspect } from "node:util";
import { AzureNamedKeyCredential, AzureSASCredential, TableClient } from "@azure/data-tables";
import { createHttpHeaders, createPipelineRequest, RestError } from "@azure/core-rest-pipeline";
import { AuthenticationError, ClientSecretCredential } from "@azure/identity";
import { ClientAuthError, ServerError } from "@azure/msal-node";
import { IdentityError } from "../../src/azure/credential.ts";
import { azureTransport } from "../../src/azure/transport.ts";
import { requestToken } from "../../src/entra/msal.ts";
import type { HttpClient, HttpFailure } from "../../src/http/client.ts";
import { EventLog } from "../../src/observe/event_log.ts";
import { createLog } from "../support/log.ts";
import { Secret } from "../../src/secret.ts";
import { loadSettings } from "../../src/settings/load.ts";
import { proxyOf } from "../../src/settings/proxy.ts";
import { SETTINGS } from "../../src/settings/schema.ts";
import type { Setting } from "../../src/settings/setting.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";
import { accountWith, tokenOf } from "../support/submissions.ts";
import { CLIENT, SCOPE, TENANT } from "../support/logins.ts";
import { openDoor } from "./door.ts";

const HIDDEN = "H1dden-that-must-not-show";
const KEY = Buffer.from(HIDDEN.padEnd(32)).toString("base64");
const MARKS = [HIDDEN, KEY, Buffer.from(`user:${HIDDEN}`).toString("base64")];

function assertHidden(text: string, what: string): void {
  for (const mark of MARKS) assert.ok(!text.includes(mark), `${what}: ${text.slice(0, 300)}`);
}

function request() {
  return createPipelineRequest({
    url: `https://account.table.core.windows.net/users?sig=${HIDDEN}`,
    headers: createHttpHeaders({ Authorization: `Bearer ${HIDDEN}`, "X-Ms-Date": "x" }),
    body: `client_secret=${HIDDEN}`,
  });
}

function response() {
  return {
    request: request(),
    status: 403,
    headers: createHttpHeaders({ Cookie: HIDDEN }),
    bodyAsText: "no",
  };
}

const client = { connection: "0", address: "192.0.2.7", port: 1 };

/** By kind, each with a secret in it. */
const THINGS: Readonly<Record<string, () => unknown>> = {
  "a Secret": () => new Secret(HIDDEN),
  "credentials of a login": () => ({
    mechanism: "PLAIN",
    username: "u",
    password: new Secret(HIDDEN),
  }),
  "a token": () => tokenOf(HIDDEN),
  "an account": () => accountWith(tokenOf(HIDDEN)),
  "access to storage by key": () => storageAccess.parse(`AccountName=account;AccountKey=${KEY}`),
  "access to storage by signature": () =>
    storageAccess.parse(`SharedAccessSignature=sv=1&sig=${HIDDEN}`),
  "a proxy with its password": () => proxyOf(new Secret(`http://user:${HIDDEN}@192.0.2.1:3128`)),
  "a RestError of the Azure SDKs": () =>
    new RestError("failed", { request: request(), response: response(), statusCode: 403 }),
  "a RestError with details": () =>
    Object.assign(new RestError("failed", { code: "X" }), { details: { key: HIDDEN } }),
  "a pipeline's request": request,
  "a pipeline's response": response,
  "header fields of the SDKs": () => request().headers,
  "a client of the table": () =>
    new TableClient(
      "https://account.table.core.windows.net",
      "users",
      new AzureNamedKeyCredential("account", KEY),
    ),
  "a named key": () => new AzureNamedKeyCredential("account", KEY),
  "a shared access signature": () => new AzureSASCredential(HIDDEN),
  "a credential of the SDK": () => new ClientSecretCredential(TENANT, CLIENT, HIDDEN),
  "an AuthenticationError of the SDK": () =>
    new AuthenticationError(401, { error: "invalid_client", error_description: "AADSTS7000215" }),
  "an error of MSAL": () =>
    Object.assign(new ServerError("invalid_client", "AADSTS7000215"), { body: HIDDEN }),
  "another error of MSAL": () =>
    Object.assign(new ClientAuthError("network_error", "no network"), { request: request() }),
  "an error of an identity": () =>
    new IdentityError(Object.assign(new Error("x"), { key: HIDDEN })),
  "an error with a cause": () => new Error("x", { cause: Object.assign(new Error(HIDDEN), {}) }),
  "several errors": () => new AggregateError([new Error(HIDDEN)], "all failed"),
  "an error with properties, as HTTP clients make them": () =>
    Object.assign(new Error("x"), { config: { headers: { Authorization: HIDDEN } } }),
  "a URL with a signature": () => new URL(`https://outlook.office.com/x?authtoken=${HIDDEN}`),
  "a URL with a password": () => new URL(`https://user:${HIDDEN}@example.com/`),
  "a Request of the web": () =>
    new Request("https://example.com", { headers: { Authorization: HIDDEN } }),
  "Headers of the web": () => new Headers({ Authorization: HIDDEN }),
  "a form": () => new URLSearchParams({ client_secret: HIDDEN }),
  "octets": () => Buffer.from(HIDDEN),
  "a view of octets": () => new Uint8Array(Buffer.from(HIDDEN)),
  "a Map": () => new Map([["key", HIDDEN]]),
  "a Set": () => new Set([HIDDEN]),
  "a function that returns it": () => () => HIDDEN,
  "an object whose toJSON reveals it": () => ({ toJSON: () => HIDDEN }),
  "an instance of a class": () =>
    new (class Holder {
      readonly key = HIDDEN;
    })(),
};

describe("a line of log", () => {
  for (const [what, make] of Object.entries(THINGS)) {
    it(`shows no secret of ${what}`, () => {
      for (const form of ["json", "text"] as const) {
        const lines: string[] = [];
        const log = createLog({
          level: "DEBUG",
          format: form,
          write: (line) => void lines.push(line),
        });
        const thing = make();
        // With the thing as a field, within one, as fields themselves, and thrown.
        log.error("x", { thing });
        log.error("x", { error: thing, deep: { list: [thing, { thing }] } });
        if (typeof thing === "object" && thing !== null) log.error("x", { ...thing });
        const { notify } = new EventLog(log);
        notify({ type: "connectionFault", error: thing, client });
        const error = thing instanceof Error ? thing : new Error("x", { cause: thing });
        notify({ type: "acceptFailed", error });
        assert.ok(lines.length >= 4);
        const spread = lines.splice(2, typeof thing === "object" && thing !== null ? 1 : 0);
        for (const line of lines) assertHidden(line, `${what} as ${form}`);
        // When an object is taken apart by hand, only typed secrets stay hidden.
        if (thing instanceof Secret) { for (const line of spread) assertHidden(line, what); }
      }
    });
  }

  it("shows no Secret, however it is converted to text", () => {
    const secret = new Secret(HIDDEN);
    for (
      const text of [
        `${secret}`,
        String(secret),
        secret + "",
        JSON.stringify({ secret, list: [secret] }),
        format("%s %o %O %j", secret, secret, { secret }, { secret }),
        inspect(secret, { showHidden: true, depth: 9 }),
        inspect({ secret }, { showHidden: true, customInspect: false }),
        Object.values({ ...secret }).join(),
        Reflect.ownKeys(secret).join(),
      ]
    ) assertHidden(text, "a Secret as text");
  });
});

describe("an error that reaches an administrator", () => {
  it("contains nothing of the failed request, as MSAL and the SDKs build it", async () => {
    const failures: readonly HttpFailure[] = ["ECONNREFUSED", "ETIMEDOUT", "MALFORMED", "ABORTED"]
      .map(
        (code) => ({ type: "failure", sent: true, code, message: `failed with ${code}` }),
      );
    for (const failure of failures) {
      const http = { request: () => Promise.resolve(failure) } as unknown as HttpClient;
      const refusal = await requestToken(
        { tenantId: TENANT, clientId: CLIENT },
        { type: "secret", secret: new Secret(HIDDEN) },
        {
          http,
          authorityHost: new URL("https://login.microsoftonline.com"),
          scope: SCOPE,
          timeout: 1000,
        },
      );
      assert("type" in refusal);
      assertHidden(JSON.stringify(refusal), failure.code);
      const sending = azureTransport(http).sendRequest(request());
      const error = await sending.then(() => undefined, (error: Error) => error);
      assert(error !== undefined);
      // Not even in what is not printed: there is no request in it to take a token from.
      assertHidden(inspect(error, { depth: 9, showHidden: true }), failure.code);
      assertHidden(JSON.stringify(Object.entries(error)), failure.code);
    }
  });
});

describe("a secret setting", () => {
  const secrets = (Object.entries(SETTINGS) as [string, Setting<unknown>][])
    .filter(([, { secret }]) => secret === true)
    .map(([name]) => name);

  it("is one of several", () => assert.ok(secrets.length >= 4, secrets.join()));

  for (const name of secrets) {
    it(`${name} is in no problem, no warning and no view of the settings`, () => {
      for (
        const value of [
          HIDDEN,
          `http://user:${HIDDEN}@192.0.2.1:3128`,
          `http://user:${HIDDEN}@192.0.2.1:notaport`,
          `AccountName=account;AccountKey=${KEY}`,
          `AccountName=account;AccountKey=${HIDDEN}`,
          `SharedAccessSignature=sv=1&sig=${HIDDEN}`,
        ]
      ) {
        const loaded = loadSettings({ TLS_SOURCE: "off", REQUIRE_TLS: "false", [name]: value });
        const shown = loaded.type === "problems" ? loaded.problems.join("\n") : [
          ...loaded.warnings,
          JSON.stringify(loaded.settings),
          inspect(loaded.settings, { depth: 9 }),
        ].join("\n");
        assertHidden(shown, name);
      }
    });
  }

  it("is in no line of a relay that starts, serves and stops with all of them", async () => {
    const door = await openDoor({
      environment: {
        HTTPS_PROXY: `http://user:${HIDDEN}@127.0.0.1:9`,
        HTTP_PASSWORD: HIDDEN,
        AZURE_CLIENT_SECRET: HIDDEN,
      },
    });
    const talk = await door.login();
    await talk.message("From: alice@example.com\r\nTo: bob@example.net\r\n\r\nText");
    await door.close();
    assert.ok(door.log.length > 2);
    for (const line of [...door.log, talk.heard]) assertHidden(line, "the log");
  });
});
