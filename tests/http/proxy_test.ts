// Requests through an HTTP proxy (RFC 9110 §9.3.6): the service is verified as without one, nothing is
// sent if the proxy does not connect, and nothing is sent twice. The services' names are
// under .test (RFC 6761 §6.2), which only the proxy here can resolve.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { afterEach, beforeEach, describe, it } from "node:test";
import { HttpClient, type HttpClientOptions, type HttpFailure } from "../../src/http/client.ts";
import { proxied } from "../../src/http/proxy.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { Secret } from "../../src/secret.ts";
import { proxyOf } from "../../src/settings/proxy.ts";
import {
  type CertificateWishes,
  createAuthority,
  startTlsServer,
  type TlsServer,
} from "../support/authority.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { type ProxyOptions, type ProxyServer, startProxy } from "../support/proxy.ts";
import { closedPort, startRawServer } from "../support/raw_server.ts";

const NAME = "graph.relay.test";
const OK = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
const runtime = await currentRuntime();
const authority = await createAuthority("the tests' authority");
const stranger = await createAuthority("somebody else's authority");

describe("a request through a proxy", () => {
  const opened: { close(): unknown }[] = [];
  let service: TlsServer;
  let requests: number;
  beforeEach(async () => {
    requests = 0;
    service = await start(await authority.issue({ names: [NAME] }));
  });
  afterEach(async () => {
    for (const thing of opened.splice(0).reverse()) await thing.close();
  });

  async function start(certificate: Parameters<typeof startTlsServer>[0]): Promise<TlsServer> {
    const server = await startTlsServer(certificate, (socket, heard) => {
      const length = Number(/content-length: (\d+)/i.exec(heard)?.[1] ?? 0);
      const end = heard.lastIndexOf("POST /");
      if (heard.length - heard.indexOf("\r\n\r\n", end) - 4 < length) return;
      requests++;
      socket.write(OK);
    });
    opened.push(server);
    return server;
  }

  async function proxy(options: Partial<ProxyOptions> = {}): Promise<ProxyServer> {
    const server = await startProxy({ route: () => service.port, ...options });
    opened.push(server);
    return server;
  }

  function client(
    url: string,
    exempt: (hostname: string) => boolean = () => false,
    options: HttpClientOptions = {},
  ): HttpClient {
    const http = new HttpClient({
      connect: proxied(runtime.connect, proxyOf(new Secret(url)), exempt),
      authorities: [authority.certificate],
      ...options,
    });
    opened.push(http);
    return http;
  }

  function post(http: HttpClient, url = `https://${NAME}/send`, timeout = 20_000, length = 5) {
    return http.request({
      method: "POST",
      url: new URL(url),
      headers: { Authorization: "Bearer a-secret-token" },
      body: { length, parts: () => [Buffer.alloc(length, "x")] },
      timeout,
    });
  }

  /** Fails, with nothing sent. */
  async function failure(request: ReturnType<typeof post>): Promise<HttpFailure> {
    const result = await request;
    assert(result.type === "failure", JSON.stringify(result));
    assert.equal(result.sent, false);
    assert.equal(service.heard(), "");
    return result;
  }

  it("reaches the service by the name that the proxy resolves, and the proxy sees no content", async () => {
    const way = await proxy();
    const http = client(way.url);
    for (let i = 0; i < 2; i++) {
      const result = await post(http);
      assert(result.type === "response", JSON.stringify(result));
      assert.equal(result.status, 202);
    }
    assert.deepEqual(way.requests, [
      `CONNECT ${NAME}:443 HTTP/1.1\r\nHost: ${NAME}:443\r\n\r\n`,
    ], "the second request takes the same connection");
    assert.equal(requests, 2);
    assert.match(service.heard(), /a-secret-token/);
    assert.doesNotMatch(way.tunnelled(), /a-secret-token|POST/);
  });

  it("carries megabytes", async () => {
    const way = await proxy();
    const result = await post(client(way.url), undefined, 20_000, 8_000_000);
    assert(result.type === "response", JSON.stringify(result));
    assert.equal(service.heard().length - service.heard().indexOf("\r\n\r\n") - 4, 8_000_000);
  });

  it("names an IPv6 service in brackets, and its port", async () => {
    const way = await proxy({ route: () => undefined });
    await failure(post(client(way.url), "https://[2001:db8::1]:8443/"));
    assert.match(way.requests[0]!, /^CONNECT \[2001:db8::1\]:8443 HTTP\/1\.1\r\n/);
  });

  it("sends user name and password, percent-decoded (RFC 7617)", async () => {
    const way = await proxy({ credentials: "contoso\\relay:p@ss:wörd/1" });
    const url = way.url.replace("//", "//contoso%5Crelay:p%40ss%3Aw%C3%B6rd%2F1@");
    const result = await post(client(url));
    assert(result.type === "response", JSON.stringify(result));
    assert.doesNotMatch(service.heard(), /proxy-authorization/i);
  });

  for (
    const established of [
      ["HTTP/1.0 200 OK\r\n\r\n"],
      ["HTTP/1.1 200\r\n\r\n"],
      ["HTTP/1.1 ", "200 OK\r\nVia: x\r\nTransfer-Encoding: chunked\r\n", "\r", "\n"],
      ["HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 201 Whatever\r\n\r\n"],
    ]
  ) {
    it(`understands ${JSON.stringify(established.join("|"))}`, async () => {
      const way = await proxy({ established });
      const result = await post(client(way.url));
      assert(result.type === "response", JSON.stringify(result));
    });
  }

  const BAD: readonly (readonly [string, typeof authority, CertificateWishes, RegExp])[] = [
    ["comes from an authority that nobody trusts", stranger, { names: [NAME] }, /^UNABLE_TO_/],
    ["names another host", authority, { names: ["relay.test"] }, /^ERR_TLS_CERT_ALTNAME/],
    ["names the proxy", authority, { addresses: ["127.0.0.1"] }, /^ERR_TLS_CERT_ALTNAME/],
    [
      "has expired",
      authority,
      { names: [NAME], from: -3, until: -1 },
      /^(?:CERT_HAS_EXPIRED$|UNABLE_TO_)/,
    ],
    [
      "is not valid yet",
      authority,
      { names: [NAME], from: 1, until: 3 },
      /^(?:CERT_NOT_YET_VALID$|UNABLE_TO_)/,
    ],
  ];
  for (const [what, issuer, wishes, code] of BAD) {
    it(`sends nothing to a service whose certificate ${what}`, async () => {
      const way = await proxy();
      service = await start(await issuer.issue(wishes));
      const result = await failure(post(client(way.url)));
      assert.match(result.code, code);
      assert.match(result.message, /\(through the proxy 127\.0\.0\.1:\d+\)$/);
    });
  }

  it("sends nothing if the proxy itself answers instead of the service", async () => {
    const way = await proxy({ established: ["HTTP/1.1 200 OK\r\n\r\n", OK] });
    const result = await failure(post(client(way.url)));
    assert.notEqual(result.code, "");
    const early = await proxy({ established: [`HTTP/1.1 200 OK\r\n\r\n${OK}`] });
    assert.equal((await failure(post(client(early.url)))).code, "PROXY_MALFORMED");
  });

  it("is not sent if the proxy requires other credentials (407), and the error does not show them", async () => {
    const way = await proxy({ credentials: "relay:right" });
    const url = way.url.replace("//", "//relay:wrong-password@");
    const result = await failure(post(client(url)));
    assert.equal(result.code, "PROXY_407");
    assert.match(
      result.message,
      /^no connection to https:\/\/graph\.relay\.test: the proxy 127\.0\.0\.1:\d+ answers 407: .*HTTPS_PROXY/,
    );
    const pair = Buffer.from("relay:wrong-password").toString("base64");
    assert(!JSON.stringify(result).includes("wrong-password"));
    assert(!JSON.stringify(result).includes(pair));
    assert.equal(way.requests.length, 1);
  });

  for (
    const [status, words] of [
      ["403 Forbidden", /does not allow connections to graph\.relay\.test:443/],
      ["502 Bad Gateway", /cannot connect to graph\.relay\.test:443/],
      ["504 Gateway Timeout", /cannot connect/],
      ["302 Found", /answers 302/],
      ["200000 \x1b[31m", /not HTTP/],
    ] as const
  ) {
    it(`is not sent when the proxy answers ${JSON.stringify(status)}`, async () => {
      const way = await proxy({
        instead: (socket) => socket.end(`HTTP/1.1 ${status}\r\n\r\nan error page`) !== undefined,
      });
      const result = await failure(post(client(way.url)));
      assert.match(result.code, /^PROXY_(?:\d{3}|MALFORMED)$/);
      assert.match(result.message, words);
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(result.message, /\x1b|error page/);
    });
  }

  for (
    const [what, response, code] of [
      ["closes the connection", "", "PROXY_CLOSED"],
      ["closes it within its response", "HTTP/1.1 200 OK\r\n", "PROXY_CLOSED"],
      ["speaks something else", "SSH-2.0-x\r\n\r\n", "PROXY_MALFORMED"],
      ["never ends its response", "x".repeat(100_000), "PROXY_MALFORMED"],
    ] as const
  ) {
    it(`is not sent when the proxy ${what}`, async () => {
      const way = await proxy({ instead: (socket) => socket.end(response) !== undefined });
      assert.equal((await failure(post(client(way.url)))).code, code);
    });
  }

  it("is not sent when the proxy ends the tunnel in the TLS handshake", async () => {
    const dumb = await startRawServer(({ socket }) => void socket.on("data", () => socket.end()));
    opened.push(dumb);
    const way = await proxy({ route: () => dumb.port });
    const result = await failure(post(client(way.url)));
    assert.match(result.message, /through the proxy/);
  });

  it("is not sent when the proxy refuses connections, or its name is unknown", async () => {
    const refused = await failure(post(client(`http://127.0.0.1:${await closedPort()}`)));
    assert.equal(refused.code, "PROXY_ECONNREFUSED");
    assert.match(refused.message, /the proxy 127\.0\.0\.1:\d+ cannot be reached/);
    const unknown = await failure(post(client("http://no-such-proxy.invalid:3128")));
    assert.match(unknown.code, /^PROXY_E/);
  });

  it("is not sent when the proxy does not respond in time, and its connection is closed", async () => {
    const asked = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const way = await proxy({
      instead(socket) {
        asked.resolve();
        return socket.on("close", ended.resolve) !== undefined;
      },
    });
    const clock = new FakeClock();
    const request = failure(post(client(way.url, undefined, { clock }), undefined, 150));
    await asked.promise;
    clock.pass(150);
    const result = await request;
    assert.equal(result.code, "ETIMEDOUT");
    assert.match(
      result.message,
      /^no connection through the proxy 127\.0\.0\.1:\d+ within 0\.15 s$/,
    );
    await ended.promise;
  });

  it("is not sent when the service behind the proxy does not respond in time", async () => {
    const dumb = await startRawServer();
    opened.push(dumb);
    const way = await proxy({ route: () => dumb.port });
    const clock = new FakeClock();
    const request = failure(post(client(way.url, undefined, { clock })));
    const connection = await dumb.connection(0);
    await connection.until(() => connection.received.length > 0);
    clock.pass(20_000);
    assert.equal((await request).code, "ETIMEDOUT");
  });

  it("may have been sent, once, when the tunnel breaks without a response", async () => {
    let heard!: () => void;
    const read = new Promise<void>((resolve) => heard = resolve);
    service = await startTlsServer(await authority.issue({ names: [NAME] }), (_, text) => {
      if (text.endsWith("xxxxx")) heard();
    });
    opened.push(service);
    const way = await proxy();
    const running = post(client(way.url));
    await read;
    way.cut();
    const result = await running;
    assert(result.type === "failure", JSON.stringify(result));
    assert.equal(result.sent, true);
    assert.equal(service.heard().match(/POST/g)!.length, 1);
    assert.equal(way.requests.length, 1, "it was not tried again");
  });

  it("does not use the proxy if the service is exempt", async () => {
    const way = await proxy();
    service = await start(await authority.issue({ names: ["localhost"] }));
    const http = client(way.url, (hostname) => hostname === "localhost");
    const result = await post(http, `https://localhost:${service.port}/`);
    assert(result.type === "response", JSON.stringify(result));
    assert.deepEqual(way.requests, []);
  });

  it("does not use the proxy if it is not encrypted", async () => {
    const way = await proxy();
    const plain = await startRawServer(async (connection) => {
      await connection.request();
      connection.write(OK);
    });
    opened.push(plain);
    const result = await post(client(way.url), plain.url.href);
    assert(result.type === "response", JSON.stringify(result));
    assert.deepEqual(way.requests, []);
  });
});
