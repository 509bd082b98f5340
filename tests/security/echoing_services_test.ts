/**
 * Services that echo the refused request, with the token or the secret in it (CWE-209,
 * CWE-532): in the code of an error, in its text, in header fields. A code must be a word, else the
 * status replaces it; text is logged without credentials. One `describe` per service.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import process from "node:process";
import { describe, it } from "node:test";
import type { AccessToken, TokenCredential } from "@azure/core-auth";
import { createHttpHeaders, createPipelineRequest } from "@azure/core-rest-pipeline";
import { isTrouble } from "../../src/accounts/entry_source.ts";
import { LookupTable } from "../../src/accounts/lookup_table.ts";
import { azureCredential } from "../../src/azure/credential.ts";
import { azureClientOptions, azureTransport } from "../../src/azure/transport.ts";
import { KeyVaultSource } from "../../src/certificates/keyvault.ts";
import { classifyResponse } from "../../src/graph/graph_errors.ts";
import type { AppProof } from "../../src/entra/app_credentials.ts";
import { identityEndpoint, ManagedIdentity } from "../../src/entra/managed_identity.ts";
import { requestToken } from "../../src/entra/msal.ts";
import { realClock } from "../../src/clock.ts";
import { HttpClient } from "../../src/http/client.ts";
import { createLog } from "../support/log.ts";
import type { Outbound } from "../../src/runtime/runtime.ts";
import { Secret } from "../../src/secret.ts";
import { serviceCode, serviceWords, withoutCredentials } from "../../src/service_text.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";
import { httpClient } from "../support/http.ts";
import { CLIENT, SCOPE, TENANT, USERNAME } from "../support/logins.ts";
import { startRawServer } from "../support/raw_server.ts";
import { openDoor, response, SECRET, TOKEN } from "./door.ts";
import { attachmentOf, largeMessageWith } from "./large.ts";

const MESSAGE = "From: alice@example.com\r\nTo: bob@example.net\r\n\r\nText";
/** In the form of Entra ID's. */
const ENTRA_SECRET = "x7A8Q~abcdefghijklmnopqrstuvwxyz0123.-_Z";
const JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL2dyYXBoIn0.c2lnbmF0dXJl";

/** Error codes that a service may build from a request. */
function codesOf(request: string, credential: string): readonly unknown[] {
  return [
    request,
    request.slice(0, 500),
    /^Authorization: .*$/mi.exec(request)?.[0] ?? "no header",
    `Bearer ${credential}`,
    credential,
    credential.slice(0, 20),
    `Invalid_${credential}`,
    { code: credential },
    [credential],
    "x".repeat(65),
    "two words",
    "",
  ];
}

function assertWithout(said: string, ...credentials: readonly string[]): void {
  for (const credential of credentials) {
    for (const piece of [credential, credential.slice(0, 16), encodeURIComponent(credential)]) {
      assert.ok(!said.includes(piece), `a piece of a credential in: ${said}`);
    }
  }
}

describe("a token echoed by Graph", () => {
  for (const index of codesOf("", TOKEN).keys()) {
    it(`in its error code, form ${index + 1}, is replaced by the status`, async () => {
      const door = await openDoor({
        graph: (request) => {
          const code = codesOf(request, TOKEN)[index];
          return response(403, { error: { code, message: `You said: ${request}` } }, [
            `request-id: ${TOKEN}`,
          ]);
        },
      });
      const talk = await door.login();
      const reply = await talk.message(MESSAGE);
      assert.equal(reply, "550 5.7.1 HTTP 403: the app may not send as this mailbox");
      await door.close();
      const line = door.log.find((line) => line.includes('"code":"HTTP 403"'));
      assert.ok(line !== undefined, door.log.join(""));
      assert.match(line, /You said: POST .*\[redacted\]/);
      for (const said of [...door.log, talk.heard]) assertWithout(said, TOKEN);
    });
  }

  it("in the response to an upload session, whose URL is a credential itself, is not shown", async () => {
    const right = "authtoken-that-must-not-show";
    const door = await openDoor({
      environment: { LARGE_MESSAGES: "upload" },
      graph: (request) => {
        const [method = "", target = ""] = request.split(" ");
        if (method === "PUT") {
          const error = { code: `X-${right}`, message: `no: ${target}` };
          return response(403, { error });
        }
        if (target.endsWith("/createUploadSession")) {
          const host = /^host: (.*)\r$/mi.exec(request)![1];
          return response(201, { uploadUrl: `http://${host}/upload?authtoken=${right}` });
        }
        if (method === "DELETE") return response(204, "");
        return response(201, { id: "AAMk" });
      },
    });
    const talk = await door.login();
    const reply = await talk.message(largeMessageWith([attachmentOf(4_000_000)]));
    assert.match(reply, /^451 4\.3\.0 HTTP 403: /);
    await door.close();
    for (const said of [...door.log, talk.heard]) assertWithout(said, TOKEN, right);
  });

  it("in an untrusted upload URL is not shown", async () => {
    const door = await openDoor({
      environment: { LARGE_MESSAGES: "upload" },
      graph: (request) =>
        request.split(" ")[1]!.endsWith("/createUploadSession")
          ? response(201, { uploadUrl: `https://${JWT.toLowerCase()}.${"x".repeat(5000)}/` })
          : response(201, { id: "AAMk" }),
    });
    const talk = await door.login();
    const reply = await talk.message(largeMessageWith([attachmentOf(4_000_000)]));
    assert.match(reply, /^451 4\.3\.0 UPLOAD_URL: /);
    await door.close();
    assert.ok(door.log.every((line) => line.length < 2000));
  });

  it("does not hide Graph's known codes and its text for people", () => {
    const said = (code: string, message: string) =>
      classifyResponse({
        type: "response",
        status: 403,
        headers: new Map([["request-id", "0c9f9a6a-3d2d-4a87-a0d8-0a9a3c1b7a11"]]),
        body: Buffer.from(JSON.stringify({ error: { code, message } })),
      });
    for (
      const code of [
        "ErrorAccessDenied",
        "Request_ResourceNotFound",
        "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
      ]
    ) {
      const { code: shown, detail, requestId } = said(code, "Access is denied. Check credentials.");
      assert.equal(shown, code);
      assert.match(detail, /\(Access is denied\. Check credentials\.\)$/);
      assert.equal(requestId, "0c9f9a6a-3d2d-4a87-a0d8-0a9a3c1b7a11");
    }
  });
});

describe("a secret echoed by Entra ID", () => {
  for (const index of codesOf("", SECRET).keys()) {
    it(`in its error code, form ${index + 1}, is replaced by the status`, async () => {
      const door = await openDoor({
        entra: (request) =>
          response(401, {
            error: codesOf(request, SECRET)[index],
            error_description: request,
            error_codes: [SECRET, -1, 1e300, 1.5],
          }),
      });
      const talk = await door.connect();
      await talk.say("EHLO client.example");
      const reply = await talk.auth(USERNAME, SECRET);
      assert.equal(
        reply,
        "454 4.7.0 Temporary authentication failure: HTTP 401: unexpected answer with status 401",
      );
      await door.close();
      for (const said of [...door.log, talk.heard]) assertWithout(said, SECRET);
    });
  }

  it("in a response that is neither a refusal nor a token is in none of MSAL's texts", async () => {
    for (const secret of [SECRET, ENTRA_SECRET, "a secret & more=1"]) {
      for (const members of ["error", "error_description", "token_type", "expires_in", "scope"]) {
        const server = await startRawServer(async (connection) => {
          const request = await connection.request();
          const body = { access_token: "", error: secret, [members]: request };
          connection.write(response(200, body));
        });
        const http = httpClient();
        const refusal = await requestToken(
          { tenantId: TENANT, clientId: CLIENT },
          { type: "secret", secret: new Secret(secret) },
          { http, authorityHost: server.url, scope: SCOPE, timeout: 5000 },
        );
        http.close();
        await server.close();
        assert("type" in refusal);
        assertWithout(JSON.stringify(refusal), secret);
        assert.doesNotMatch(JSON.stringify(refusal), /client_secret=(?!\[redacted\])/);
      }
    }
  });
});

describe("a credential of the relay's own", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  const proofs: readonly AppProof[] = [
    { type: "certificate", thumbprint: "AB".repeat(32), key: new Secret(key) },
    { type: "assertion", assertion: new Secret(JWT) },
  ];
  for (const proof of proofs) {
    it(`that Entra ID echoes is in no text: ${proof.type}`, async () => {
      for (const status of [400, 401, 200]) {
        for (const member of ["error", "error_description", "token_type", "expires_in"]) {
          let assertion = "";
          const server = await startRawServer(async (connection) => {
            const request = await connection.request();
            const form = new URLSearchParams(request.slice(request.indexOf("\r\n\r\n") + 4));
            assertion = form.get("client_assertion") ?? "";
            const echoed = { error: assertion, [member]: request, error_codes: [700027] };
            connection.write(response(status, { access_token: "", ...echoed }));
          });
          const http = httpClient();
          const options = { http, authorityHost: server.url, scope: SCOPE, timeout: 5000 };
          const refusal = await requestToken(
            { tenantId: TENANT, clientId: CLIENT },
            proof,
            options,
          );
          http.close();
          await server.close();
          assert("type" in refusal && assertion !== "");
          assertWithout(JSON.stringify(refusal), assertion, ...assertion.split("."));
        }
      }
    });
  }

  it("whose header the identity endpoint echoes is in no text", async () => {
    const header = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a";
    for (const status of [400, 500, 200]) {
      const server = await startRawServer(async (connection) => {
        const request = await connection.request();
        const body = { error: header, error_description: request, message: header };
        connection.write(response(status, body));
      });
      const http = httpClient();
      const variables = { IDENTITY_ENDPOINT: `${server.url}msi/token`, IDENTITY_HEADER: header };
      const identity = new ManagedIdentity({
        http,
        clientId: CLIENT,
        audience: "api://AzureADTokenExchange",
        endpoint: identityEndpoint(variables),
        clock: realClock,
      });
      const refusal = await identity.proof();
      http.close();
      await server.close();
      assert("reply" in refusal);
      assertWithout(JSON.stringify(refusal), header);
    }
  });
});

/** An Azure service that refuses, and echoes its request in each place that an SDK reads. */
async function refusing(
  status: number,
  use: (url: URL, http: HttpClient) => Promise<string>,
  code: (request: string) => unknown = (request) => request,
): Promise<string> {
  const server = await startRawServer(async (connection) => {
    for (let count = 1;; count++) {
      const request = await connection.request(count);
      const forVault = / \/secrets\//.test(request);
      if (forVault && !/^authorization: /im.test(request)) {
        const challenge =
          `Bearer authorization="${server.url}x", resource="https://vault.azure.net"`;
        connection.write(response(401, {}, [`WWW-Authenticate: ${challenge}`]));
        continue;
      }
      const value = code(request);
      const json = {
        error: value,
        error_description: `AADSTS7000215: ${request}`,
        "odata.error": { code: value, message: { lang: "en", value: request } },
      };
      const vault = { error: { code: value, message: request, innererror: { code: value } } };
      connection.write(
        response(status, forVault ? vault : json, [
          "Content-Type: application/json",
          `x-ms-error-code: ${String(value).replace(/[\r\n]+/g, " ")}`,
        ]),
      );
    }
  });
  const http = httpClient();
  try {
    return await use(server.url, http);
  } finally {
    http.close();
    await server.close();
  }
}

const BEARER: TokenCredential = {
  getToken: (): Promise<AccessToken> =>
    Promise.resolve({ token: TOKEN, expiresOnTimestamp: Date.now() + 3_600_000 }),
};

describe("a key or signature echoed by the lookup table", () => {
  const KEY = Buffer.from("k".repeat(32)).toString("base64");
  const SIGNATURE = "c2lnbmF0dXJlLXRoYXQtbXVzdC1ub3Qtc2hvdw";
  const ACCESS = {
    "an account key": storageAccess.parse(`AccountName=account;AccountKey=${KEY}`)!,
    "a signature": storageAccess.parse(`SharedAccessSignature=sv=2020-08-04&sig=${SIGNATURE}`)!,
  };
  /** What the request revealed of an account's key: its signature. */
  const shownIn = (request: string) =>
    /^Authorization: \S+ .*:(.*)\r$/mi.exec(request)?.[1] ?? SIGNATURE;
  for (const [what, access] of Object.entries(ACCESS)) {
    for (const status of [400, 403, 409]) {
      it(`with ${what}, in a ${status}, is replaced by the status`, async () => {
        for (const echo of [(request: string) => request, shownIn]) {
          let shown = "";
          let credential = "";
          const said = await refusing(status, async (url, http) => {
            const table = new LookupTable({
              url: new URL("/account/users", url),
              partitionKey: "user",
              client: azureClientOptions(http, url.origin),
              access,
            });
            const rows = await table.find("scanner", 10_000);
            assert(rows !== undefined && isTrouble(rows as never));
            shown = (rows as { code: string }).code;
            return JSON.stringify(rows);
          }, (request) => {
            credential = shownIn(request);
            return echo(request);
          });
          assert.equal(shown, `HTTP ${status}`);
          assertWithout(said, KEY, credential);
        }
      });
    }
  }
});

describe("a token of an SDK's request echoed by an Azure service", () => {
  it("reaches no SDK: neither in the body of an error nor in its code", async () => {
    const said = await refusing(400, async (url, http) => {
      const request = createPipelineRequest({
        url: url.href,
        headers: createHttpHeaders({ Authorization: `Bearer ${TOKEN}` }),
        allowInsecureConnection: true,
      });
      const { status, headers, bodyAsText } = await azureTransport(http).sendRequest(request);
      assert.equal(status, 400);
      assert.equal(headers.get("x-ms-error-code"), undefined);
      return bodyAsText!;
    }, () => TOKEN);
    assert.equal(JSON.parse(said).error, "[redacted]");
    assertWithout(said, TOKEN);
  });
});

describe("a token echoed by Key Vault", () => {
  for (const status of [400, 401, 403, 409]) {
    it(`in a ${status} is replaced by the status in the code, and removed from the text`, async () => {
      for (const echo of [(request: string) => request, () => TOKEN, () => `Bearer ${TOKEN}`]) {
        const said = await refusing(status, async (url, http) => {
          const source = new KeyVaultSource({
            vault: url,
            name: "x",
            credential: BEARER,
            client: azureClientOptions(http, url.origin),
            imitated: true,
          });
          const look = { known: undefined, complete: true, signal: new AbortController().signal };
          return await source.read(look).then(() => "", (error: Error) => error.message);
        }, echo);
        assert.match(said, new RegExp(`\\(HTTP ${status}\\)$`));
        assertWithout(said, TOKEN);
        assert.ok(said.length < 1000);
      }
    });
  }
});

describe("the secret of the relay's own identity, echoed by Entra ID", () => {
  it("is not in the error, for table and vault", async () => {
    const names = ["AZURE_TOKEN_CREDENTIALS", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"] as const;
    const before = names.map((name) => process.env[name]);
    const values = ["EnvironmentCredential", TENANT, CLIENT];
    names.forEach((name, index) => process.env[name] = values[index]!);
    try {
      for (const secret of [SECRET, ENTRA_SECRET, "a secret & more=1"]) {
        const said = await refusing(401, async (url, http) => {
          const clientSecret = new Secret(secret);
          const credential = await azureCredential({ http, authorityHost: url, clientSecret });
          const vault = new KeyVaultSource({
            vault: url,
            name: "x",
            credential: { getToken: () => credential.getToken("https://vault.azure.net/.default") },
            client: azureClientOptions(http, url.origin),
            imitated: true,
          });
          const look = { known: undefined, complete: true, signal: new AbortController().signal };
          const table = new LookupTable({
            url: new URL("/account/users", url),
            partitionKey: "user",
            client: azureClientOptions(http, url.origin),
            access: () => Promise.resolve(credential),
          });
          const thrown = await credential.getToken(SCOPE).then(() => undefined, (error) => error);
          const lines: string[] = [];
          const write = (line: string) => void lines.push(line);
          createLog({ level: "DEBUG", format: "json", write }).error("x", { thrown });
          return [
            ...lines,
            JSON.stringify(await table.find("scanner", 10_000)),
            await vault.read(look).then(() => "", (error: Error) => error.message),
          ].join("\n");
        });
        assert.notEqual(said, "");
        assertWithout(said, secret);
      }
    } finally {
      names.forEach((name, index) => {
        if (before[index] === undefined) delete process.env[name];
        else process.env[name] = before[index];
      });
    }
  });
});

describe("a connection's error", () => {
  for (
    const [code, shown] of [
      ["ECONNREFUSED", "ECONNREFUSED"],
      ["PROXY_407", "PROXY_407"],
      [`Bearer ${TOKEN}`, "EUNKNOWN"],
      ["two words", "EUNKNOWN"],
      ["x".repeat(65), "EUNKNOWN"],
      [42, "EUNKNOWN"],
      [undefined, "EUNKNOWN"],
    ] as const
  ) {
    it(`has the code ${JSON.stringify(code)} only if that is a code`, async () => {
      const http = new HttpClient({
        connect: (_options, handler) => {
          const error = Object.assign(new Error(`it broke: Bearer ${JWT}\n${"y".repeat(9000)}`), {
            code,
          });
          queueMicrotask(() => handler.closed(error));
          return { write: () => true, destroy() {} } as Outbound;
        },
      });
      const result = await http.request({
        method: "GET",
        url: new URL("https://service.example/"),
        headers: {},
        timeout: 1000,
      });
      assert(result.type === "failure");
      assert.equal(result.code, shown);
      assert.match(result.message, /^no connection to .*: it broke: Bearer \[redacted\] y+…$/);
      assert.ok(result.message.length < 700);
    });
  }
});

describe("a service's text", () => {
  const ECHOES: readonly (readonly [text: string, shown: string])[] = [
    [`Authorization: Bearer ${JWT}`, "Authorization: [redacted] [redacted]"],
    [`the header "Bearer ${JWT.slice(0, 60)}" is wrong`, 'the header "Bearer [redacted]" is wrong'],
    ["Bearer abc-def is wrong", "Bearer [redacted] is wrong"],
    ["SharedKey account:c2ln bad", "SharedKey [redacted] bad"],
    [
      `grant_type=x&client_secret=${encodeURIComponent(ENTRA_SECRET)}&scope=y`,
      "grant_type=x&client_secret=[redacted]&scope=y",
    ],
    ["client_assertion=abc.def&x=1", "client_assertion=[redacted]&x=1"],
    ['{"client_secret":"abc","x":1}', '{"client_secret":"[redacted]","x":1}'],
    ['{\\"password\\": \\"abc\\"}', '{\\"password\\": \\"[redacted]\\"}'],
    ["AccountName=a;AccountKey=abc==;x", "AccountName=a;AccountKey=[redacted];x"],
    ["/x?sv=1&sig=abc%3D&se=2", "/x?sv=1&sig=[redacted]&se=2"],
    [`the value ${ENTRA_SECRET} is`, "the value [redacted] is"],
    [`the key ${Buffer.alloc(64, "key1").toString("base64")} is`, "the key [redacted] is"],
    [`truncated: ${SECRET.slice(0, 12)}`, "truncated: [redacted]"],
    ["a\r\n\tb  c\x85d", "a b c\x85d"],
  ];
  for (const [text, shown] of ECHOES) {
    it(`is shown without credentials: ${JSON.stringify(text.slice(0, 60))}`, () => {
      assert.equal(serviceWords(text, [SECRET]), shown);
    });
  }

  it("is shown unchanged when nothing in it is a credential", () => {
    for (
      const text of [
        "Access is denied. Check credentials and try again.",
        "Basic authentication is not supported; the Bearer token is missing.",
        "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is " +
        "the client secret value, not the client secret ID.",
        "Caller (appid=12345678-1234-1234-1234-123456789abc;oid=12345678-1234-1234-1234-123456789abc)",
        "over scope '/subscriptions/12345678-1234-1234-1234-123456789abc/resourceGroups/relay'",
        "Microsoft.Exchange.Data.Storage.ObjectNotFoundException",
        "unable to verify the first certificate",
      ]
    ) assert.equal(serviceWords(text, [SECRET]), text);
  });

  it("is one line of a bounded length, and absent when there is none", () => {
    assert.equal(serviceWords("x".repeat(1_000_000)), `${"x".repeat(500)}…`);
    for (const nothing of ["", " \n", undefined, null, 1, {}, ["x"]]) {
      assert.equal(serviceWords(nothing), undefined);
    }
  });

  it("is a code if it is a word of 64 characters at most", () => {
    for (const code of ["ErrorX", "invalid_client", "a.b-c", "0", "x".repeat(64)]) {
      assert.equal(serviceCode(code), code);
    }
    for (
      const text of ["", " x", "a b", "x\n", "ü", "x".repeat(65), "a:b", "a/b", JWT.slice(0, 60), 1]
    ) assert.equal(serviceCode(text), undefined, String(text));
    assert.equal(serviceCode("hunter22", ["hunter22"]), undefined);
  });

  it("stays JSON if it was JSON", () => {
    const json = JSON.stringify({
      error: { message: `"Bearer ${TOKEN}" {"client_secret":"${SECRET}"} \\ ${SECRET}\\`, n: 1 },
    });
    const shown = JSON.parse(withoutCredentials(json, [SECRET, TOKEN]));
    assert.equal(shown.error.n, 1);
    assertWithout(JSON.stringify(shown), SECRET, TOKEN);
  });

  it("takes time in proportion to its length, whatever it contains", () => {
    const pieces = [
      "Bearer ",
      "eyJ",
      "eyJa.",
      "sig=",
      '"secret":',
      '\\"',
      "~",
      "a~",
      "A1",
      "Bearer : ",
    ];
    for (const piece of pieces) {
      const text = piece.repeat(200_000);
      const begun = performance.now();
      withoutCredentials(text, [SECRET, piece.repeat(10)]);
      // A million characters: quadratic work would take minutes.
      assert.ok(performance.now() - begun < 5000, piece);
    }
  });
});
