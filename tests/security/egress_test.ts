/**
 * Where the relay's requests go, and how much it reads of the responses: no redirect is followed, no
 * credential goes to another host (CWE-601, CWE-918, CWE-200), and every response is bounded.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, afterEach, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import type { AccessToken, TokenCredential } from "@azure/core-auth";
import { createPipelineFromOptions, createPipelineRequest } from "@azure/core-rest-pipeline";
import { LookupTable } from "../../src/accounts/lookup_table.ts";
import { azureClientOptions, azureTransport } from "../../src/azure/transport.ts";
import { KeyVaultSource } from "../../src/certificates/keyvault.ts";
import { uploadUrl } from "../../src/graph/upload_url.ts";
import type { HttpClient } from "../../src/http/client.ts";
import { isTrouble } from "../../src/accounts/entry_source.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";
import { httpClient } from "../support/http.ts";
import { USERNAME } from "../support/logins.ts";
import { type RawConnection, type RawServer, startRawServer } from "../support/raw_server.ts";
import { type Door, openDoor, response, SECRET, TOKEN } from "./door.ts";
import { attachmentOf, largeMessageWith } from "./large.ts";

const MESSAGE = "From: alice@example.com\r\nTo: bob@example.net\r\n\r\nText";
const REDIRECTS = [300, 301, 302, 303, 305, 307, 308];

/** A server that must receive no request; the others respond as a test says. */
let elsewhere: RawServer;
const others: RawServer[] = [];
const clients: HttpClient[] = [];
before(async () => {
  elsewhere = await startRawServer(async (connection) => {
    for (let count = 1;; count++) {
      await connection.request(count);
      connection.write(response(202, { value: [], access_token: TOKEN }));
    }
  });
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(others.splice(0).map((server) => server.close()));
});
after(() => elsewhere.close());

function assertNoRequests(): void {
  assert.deepEqual(elsewhere.connections.map(({ received }) => received), []);
}

async function serving(say: (request: string) => string): Promise<RawServer> {
  const server = await startRawServer(async (connection: RawConnection) => {
    for (let count = 1;; count++) connection.write(say(await connection.request(count)));
  });
  others.push(server);
  return server;
}

function client(): HttpClient {
  const http = httpClient();
  clients.push(http);
  return http;
}

describe("a redirect", () => {
  for (const status of REDIRECTS) {
    it(`${status} from Graph is not followed: the message may have been sent, once`, async () => {
      const location = `Location: ${elsewhere.url.href}graph`;
      const door = await openDoor({ graph: () => response(status, "", [location]) });
      try {
        const talk = await door.login();
        assert.match(await talk.message(MESSAGE), /^451 4\.3\.0 HTTP 3\d\d: .*may have been sent/);
        assert.equal(door.messages().length, 1);
        assertNoRequests();
      } finally {
        await door.close();
      }
    });

    it(`${status} from Entra ID is not followed: the secret goes nowhere else`, async () => {
      const door = await openDoor({
        entra: () => response(status, "", [`Location: ${elsewhere.url.href}token`]),
      });
      try {
        const talk = await door.connect();
        await talk.say("EHLO client.example");
        assert.match(await talk.auth(USERNAME, SECRET), /^454 4\.7\.0 /);
        assert.equal(door.requests.length, 1);
        assertNoRequests();
      } finally {
        await door.close();
      }
    });

    it(`${status} is not followed by the Azure SDKs' pipeline either, not even to the same host`, async () => {
      for (const target of [elsewhere.url.href, "/again"]) {
        let asked = 0;
        const server = await serving(() => {
          asked++;
          return response(status, "", [`Location: ${target}`]);
        });
        const pipeline = createPipelineFromOptions({ retryOptions: { maxRetries: 0 } });
        for (const method of ["GET", "POST"] as const) {
          const request = createPipelineRequest({
            url: server.url.href,
            method,
            allowInsecureConnection: true,
          });
          request.headers.set("Authorization", `Bearer ${TOKEN}`);
          const response = await pipeline.sendRequest(azureTransport(client()), request);
          assert.equal(response.status, status);
        }
        assert.equal(asked, 2);
        assertNoRequests();
      }
    });
  }
});

describe("an upload address", () => {
  const GLOBAL = "https://graph.microsoft.com/v1.0/users/a/messages/b";
  const CLOUDS: Readonly<Record<string, readonly string[]>> = {
    "https://graph.microsoft.com": ["outlook.office.com", "outlook.office365.com"],
    "https://graph.microsoft.us": ["outlook.office365.us"],
    "https://dod-graph.microsoft.us": ["outlook-dod.office365.us"],
    "https://microsoftgraph.chinacloudapi.cn": ["partner.outlook.cn"],
  };
  for (const [graph, hosts] of Object.entries(CLOUDS)) {
    it(`must belong to the same cloud: ${graph}`, () => {
      for (const [other, theirs] of Object.entries(CLOUDS)) {
        for (const host of theirs) {
          const url = uploadUrl(`https://${host}/api/v2.0/x?authtoken=y`, `${graph}/v1.0/x`);
          assert.equal(url?.hostname, other === graph ? host : undefined);
        }
      }
      assert.ok(hosts.length > 0 && uploadUrl(`${graph}/upload`, `${graph}/v1.0/x`) !== undefined);
    });
  }

  it("of a Graph reached by another name must belong to any cloud or have that name", () => {
    const own = "https://graph-proxy.example.com/v1.0/x";
    assert.ok(uploadUrl("https://outlook.office.com/x", own) !== undefined);
    assert.ok(uploadUrl("https://graph-proxy.example.com/x", own) !== undefined);
    assert.equal(uploadUrl("https://example.com/x", own), undefined);
  });

  const LOOKALIKES = [
    "https://outlook.office.com.evil.test/x",
    "https://evil.test/outlook.office.com",
    "https://evil.test#outlook.office.com",
    "https://evil.test?outlook.office.com",
    "https://outlook.office.com@evil.test/x",
    "https://outlook.office.com:443@evil.test/x",
    "https://user:pass@outlook.office.com/x",
    "https://@outlook.office.com:8443/x",
    "https://outlook.office.com:8443/x",
    "https://outlook.office.com./x",
    "https://xoutlook.office.com/x",
    "https://x.outlook.office.com/x",
    "https://outlook-office.com/x",
    "https://office.com/x",
    "https://outlook.office.co/x",
    "https://outl\u043eok.office.com/x",
    "https://outlook.office.com\u3002evil.test/x",
    "https://outlook.office.com%2eevil.test/x",
    "https://outlook.office.com%00.evil.test/x",
    "https://outlook.office.com\\@evil.test/x".replace("\\@", "\\.evil.test@"),
    "https:evil.test/x",
    "https:///evil.test/x",
    "https:\\\\evil.test\\x",
    "//outlook.office.com/x",
    "http://outlook.office.com/x",
    "HTTP://outlook.office.com/x",
    "ftp://outlook.office.com/x",
    "file:///etc/passwd",
    "data:text/plain,x",
    "https://192.0.2.1/x",
    "https://[2001:db8::1]/x",
    "https://[::ffff:192.0.2.1]/x",
    "https://169.254.169.254/metadata/identity/oauth2/token",
    "http://169.254.169.254/metadata/instance",
    "https://3221225985/x",
    "https://0x7f.1/x",
    "https://127.0.0.1/x",
    "https://localhost/x",
    "http://127.0.0.1:8026/x",
    "http://[::1]/x",
    "https://graph.microsoft.com:8443/x",
    "https://",
    " ",
    "x",
  ];
  for (const address of LOOKALIKES) {
    it(`is not ${JSON.stringify(address)}`, () => {
      const url = uploadUrl(address, GLOBAL);
      // Some URL parsers find the cloud's own host where others do not.
      if (url !== undefined) assert.equal(url.origin, "https://outlook.office.com", url.href);
    });
  }

  it("receives no token with an upload, cannot redirect it, and is not in the log", async () => {
    const uploads = await serving((request) =>
      request.startsWith("PUT")
        ? response(307, "", [`Location: ${elsewhere.url.href}`])
        : response(404, {})
    );
    const door: Door = await openDoor({
      graph: (request) => {
        const line = request.slice(0, request.indexOf("\r\n"));
        if (line.includes("/createUploadSession ")) {
          return response(201, { uploadUrl: `${uploads.url.href}up?authtoken=${TOKEN}` });
        }
        if (line.startsWith("DELETE")) return "HTTP/1.1 204 No Content\r\n\r\n";
        return response(line.includes("/messages ") ? 201 : 202, { id: "AAA" });
      },
    });
    try {
      const talk = await door.login();
      assert.match(
        await talk.message(largeMessageWith([attachmentOf(5_000_000)])),
        /^451 4\.3\.0 /,
      );
      const heard = uploads.connections.map(({ received }) => received).join("");
      assert.ok(heard.startsWith("PUT /up?authtoken="));
      assert.doesNotMatch(heard.replace(/authtoken=\S+/g, ""), /authorization|Bearer|e30\./i);
      assertNoRequests();
    } finally {
      await door.close();
    }
  });
});

describe("another host named in a response", () => {
  it("receives no request of the table: a continuation is part of a query to the table itself", async () => {
    const asked: string[] = [];
    const evil = `${elsewhere.url.href}?x='&$filter=y`;
    const server = await serving((request) => {
      asked.push(request.slice(0, request.indexOf("\r\n")));
      const more = asked.length > 1
        ? []
        : [`x-ms-continuation-NextPartitionKey: ${evil}`, `x-ms-continuation-NextRowKey: ${evil}`];
      return response(200, { "odata.nextLink": evil, value: [{ RowKey: `${asked.length}` }] }, [
        "Content-Type: application/json",
        ...more,
      ]);
    });
    const table = new LookupTable({
      url: new URL("/account/users", server.url),
      partitionKey: "user",
      client: azureClientOptions(client(), server.url.origin),
      access: storageAccess.parse(
        `AccountName=account;AccountKey=${Buffer.from("x".repeat(32)).toString("base64")}`,
      )!,
    });
    const rows = await table.list(10_000);
    assert.ok(!isTrouble(rows as never) && (rows as unknown[]).length === 2);
    assert.equal(asked.length, 2);
    const second = new URL(asked[1]!.split(" ")[1]!, server.url);
    assert.equal(second.searchParams.get("NextPartitionKey"), evil);
    assert.equal(second.searchParams.getAll("$filter").length, 1);
    assertNoRequests();
  });

  it("receives no request of a table or vault, whichever layer makes it", async () => {
    const transport = azureTransport(client(), "https://account.table.core.windows.net");
    for (
      const url of [
        elsewhere.url.href,
        "https://account.table.core.windows.net:444/x",
        "http://account.table.core.windows.net/x",
        "https://account.table.core.windows.net.evil.test/x",
        "https://account.table.core.windows.net@evil.test/x",
      ]
    ) {
      const request = createPipelineRequest({ url, allowInsecureConnection: true });
      await assert.rejects(transport.sendRequest(request), { code: "ELSEWHERE" });
    }
    assertNoRequests();
  });

  it("receives no token request when a vault's challenge names it as Entra ID", async () => {
    const tenants: (string | undefined)[] = [];
    const credential: TokenCredential = {
      getToken(_scope, options): Promise<AccessToken> {
        tenants.push(options?.tenantId);
        return Promise.resolve({ token: TOKEN, expiresOnTimestamp: Date.now() + 3_600_000 });
      },
    };
    const vault = await serving(() =>
      response(401, {}, [
        `WWW-Authenticate: Bearer authorization="${elsewhere.url.href}evil-tenant", ` +
        'resource="https://vault.azure.net"',
      ])
    );
    const source = new KeyVaultSource({
      vault: vault.url,
      name: "x",
      credential,
      client: azureClientOptions(client(), vault.url.origin),
      imitated: true,
    });
    const look = { known: undefined, complete: true, signal: new AbortController().signal };
    const failure = await source.read(look).then(() => "", (error: Error) => error.message);
    assert.ok(failure !== "" && !failure.includes(TOKEN));
    // The SDK takes the tenant from it, subject to the credential's check, but never the host.
    assert.ok(tenants.every((tenant) => tenant === "evil-tenant"));
    assertNoRequests();
  });
});

describe("a response without an end", () => {
  const HEAD = "HTTP/1.1 200 OK\r\n";
  const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
  const ENDLESS: Readonly<Record<string, readonly [beginning: string, again: string]>> = {
    "of interim answers (RFC 9110 §15.2)": ["", "HTTP/1.1 100 Continue\r\n\r\n"],
    "of interim answers with fields": [
      "",
      `HTTP/1.1 103 Early Hints\r\nLink: ${"x".repeat(500)}\r\n\r\n`,
    ],
    "of header fields": [HEAD, "X-Field: value\r\n"],
    "of one header field": [`${HEAD}X-Field: `, "value value value "],
    "of a status line": ["HTTP/1.1 200 ", "OK OK OK OK "],
    "of chunks": [CHUNKED, `1000\r\n${"x".repeat(4096)}\r\n`],
    "of chunk extensions": [`${CHUNKED}1;`, "a=b;"],
    "of small chunks with long extensions": [CHUNKED, `1;${"a=b;".repeat(2000)}\r\nx\r\n`],
    "of chunk size": [`${CHUNKED}0`, "0"],
    "of trailers (RFC 9112 §7.1.2)": [`${CHUNKED}0\r\n`, "X-Trailer: value\r\n"],
    "of a body until the end": [`${HEAD}\r\n`, "x".repeat(4096)],
  };
  for (const [what, [beginning, again]] of Object.entries(ENDLESS)) {
    it(`${what} is abandoned at a size limit, long before its timeout`, async () => {
      let written = 0;
      const server = await startRawServer(async (connection) => {
        await connection.request();
        connection.write(beginning);
        const more = again.repeat(Math.ceil(16_384 / again.length));
        const { socket } = connection;
        // As much as is read, without end.
        while (!socket.destroyed) {
          const room = socket.write(more, "latin1");
          written += more.length;
          if (!room) {
            await new Promise<void>((resolve) => {
              socket.once("drain", resolve);
              socket.once("close", resolve);
            });
          } else await new Promise((resolve) => setImmediate(resolve));
        }
      });
      others.push(server);
      const result = await client().request({
        method: "GET",
        url: server.url,
        headers: {},
        timeout: 60_000,
      });
      assert(result.type === "failure");
      assert.match(result.code, /^(?:MALFORMED|TOOLONG)$/);
      // Socket buffers hold some of it unread.
      assert.ok(written < 32 * 1024 * 1024, `${written} octets`);
    });
  }

  it("in single octets is abandoned at its total timeout, whatever arrives meanwhile", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.request();
      connection.write(`${HEAD}Content-Length: 100000\r\n\r\n`);
      const timer = setInterval(() => connection.write("x"), 20);
      connection.socket.on("close", () => clearInterval(timer));
    });
    others.push(server);
    const begun = performance.now();
    const result = await client().request({
      method: "GET",
      url: server.url,
      headers: {},
      timeout: 500,
    });
    assert(result.type === "failure");
    assert.equal(result.code, "ETIMEDOUT");
    const took = performance.now() - begun;
    assert.ok(took >= 490 && took < 10_000, `${took} ms`);
  });
});

describe("a response in a content coding (RFC 9110 §8.4)", () => {
  const BOMB = gzipSync(Buffer.alloc(20_000_000, JSON.stringify({ access_token: TOKEN })));

  it("is not requested and not decoded: no token is read from it", async () => {
    const packed = gzipSync(JSON.stringify({
      token_type: "Bearer",
      expires_in: 3599,
      access_token: TOKEN,
    }));
    for (const body of [packed, BOMB]) {
      const raw = body.toString("latin1");
      const door = await openDoor({
        entra: () =>
          `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n${raw}`,
      });
      try {
        const talk = await door.connect();
        await talk.say("EHLO client.example");
        assert.match(await talk.auth(USERNAME, SECRET), /^454 4\.7\.0 /);
        assert.ok(door.requests.every((request) => !/accept-encoding/i.test(request)));
      } finally {
        await door.close();
      }
    }
  });

  it("hides no error of Graph: the status decides", async () => {
    const raw = gzipSync(JSON.stringify({ error: { code: "ErrorAccessDenied" } })).toString(
      "latin1",
    );
    const door = await openDoor({
      graph: () =>
        `HTTP/1.1 403 No\r\nContent-Encoding: gzip\r\nContent-Length: ${raw.length}\r\n\r\n${raw}`,
    });
    try {
      const talk = await door.login();
      assert.match(await talk.message(MESSAGE), /^550 5\.7\.1 HTTP 403: /);
    } finally {
      await door.close();
    }
  });
});
