/** What `check` finds of the webhook's receiver and the collector of traces. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, it } from "node:test";
import { checkTraces, checkWebhook } from "../../src/check/watchers_check.ts";
import { HttpClient } from "../../src/http/client.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { Secret } from "../../src/secret.ts";

describe("the systems that are told about mail", () => {
  let server: Server;
  let http: HttpClient;
  let url: URL;
  let status = 200;
  let seen: { method: string; path: string; key: string | undefined; body: string }[];
  beforeEach(async () => {
    seen = [];
    const { connect } = await currentRuntime();
    http = new HttpClient({ connect });
    server = createServer(async (request, response) => {
      let body = "";
      for await (const piece of request.setEncoding("utf8")) body += piece;
      const { method = "", url: path = "", headers } = request;
      seen.push({ method, path, key: headers["x-key"] as string | undefined, body });
      response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  afterEach(async () => {
    http.close();
    await close();
  });

  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const tools = () => ({ http, timeout: 5_000 });
  const webhook = () =>
    checkWebhook({ WEBHOOK_URL: new Secret(`${url.href}hook?key=hunter2`) }, tools());
  const traces = () =>
    checkTraces({
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_HEADERS: new Map([["x-key", new Secret("hunter2")]]),
    }, tools());

  it("are not asked if they are not set", async () => {
    assert.deepEqual(await checkWebhook({ WEBHOOK_URL: undefined }, tools()), []);
    const unset = { OTEL_EXPORTER_OTLP_ENDPOINT: undefined, OTEL_EXPORTER_OTLP_HEADERS: undefined };
    assert.deepEqual(await checkTraces(unset, tools()), []);
  });

  for (const answer of [204, 404, 405, 500]) {
    it(`include a receiver that answers with ${answer}; it gets no event`, async () => {
      status = answer;
      const [found] = await webhook();
      assert.equal(found!.code, "webhook.ok");
      assert.deepEqual(seen.map(({ method, body }) => [method, body]), [["OPTIONS", ""]]);
    });
  }

  it("include a collector that takes a request without spans, with its header fields", async () => {
    status = 200;
    const [found] = await traces();
    assert.equal(found!.code, "traces.ok");
    assert.deepEqual(seen, [{
      method: "POST",
      path: "/v1/traces",
      key: "hunter2",
      body: '{"resourceSpans":[]}',
    }]);
  });

  for (const answer of [307, 401, 404]) {
    it(`include a collector that refuses with ${answer}`, async () => {
      status = answer;
      const [found] = await traces();
      assert.equal(found!.code, "traces.refused");
      assert.match(found!.what, new RegExp(`status ${answer}$`));
    });
  }

  it("may be away, which is a warning that shows no key", async () => {
    await close();
    const found = [...await webhook(), ...await traces()];
    assert.deepEqual(found.map(({ code }) => code), ["webhook.unreachable", "traces.unreachable"]);
    for (const { level, what } of found) {
      assert.equal(level, "warn");
      assert.match(what, /^127\.0\.0\.1:\d+: ECONNREFUSED/);
      assert.ok(!what.includes("hunter2"));
    }
  });
});
