/** The settings of tracing: what they allow, how they go together, and what they say of mistakes. */
import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "node:test";
import { collectorHeaders, collectorUrl } from "../../src/settings/trace_settings.ts";
import { goodSettings, problemsOf } from "../support/settings.ts";

const ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS = "OTEL_EXPORTER_OTLP_HEADERS";

describe("the collector's address", () => {
  it("is an http or https URL of any host, with a path or without", () => {
    for (
      const url of [
        "http://otel-collector:4318",
        "https://collector.example/otlp/",
        "http://[::1]:4318/",
      ]
    ) {
      assert.equal(goodSettings({ [ENDPOINT]: url }).settings[ENDPOINT]?.href, new URL(url).href);
    }
  });

  it("has no credentials, no query, and not the path that is appended", () => {
    for (
      const url of [
        "otel-collector:4318",
        "grpc://otel-collector:4317",
        "http://user:pass@otel-collector:4318",
        "http://otel-collector:4318?key=1",
        "http://otel-collector:4318/#x",
        "http://otel-collector:4318/v1/traces",
        "http://otel-collector:4318/otlp/v1/traces/",
      ]
    ) {
      const [problem] = problemsOf({ [ENDPOINT]: url });
      assert.match(problem!, /^OTEL_EXPORTER_OTLP_ENDPOINT .*must be an http or https URL/, url);
    }
    assert.equal(collectorUrl.meant!("http://c:4318/otlp/v1/traces/"), "http://c:4318/otlp");
  });

  it("on the port of OTLP/gRPC is doubted", () => {
    const { warnings } = goodSettings({ [ENDPOINT]: "http://otel-collector:4317" });
    assert(warnings.some((warning) => /OTLP\/gRPC.*4318/.test(warning)), warnings.join());
  });
});

describe("the header fields for the collector", () => {
  const parsed = (text: string) => {
    const fields = collectorHeaders.parse(text);
    return fields && [...fields].map(([name, value]) => [name, value.reveal()]);
  };

  it("are pairs with commas between them, whose values may be percent-encoded", () => {
    assert.deepEqual(parsed("api-key=k1"), [["api-key", "k1"]]);
    assert.deepEqual(parsed(" Authorization = Basic%20YTpi== , x-scope=a b "), [
      ["Authorization", "Basic YTpi=="],
      ["x-scope", "a b"],
    ]);
  });

  it("are nothing that could end the field, or change the request", () => {
    for (
      const text of [
        "api-key",
        "=x",
        "api-key=",
        "a=1,",
        "a b=1",
        "a=%0d%0ab: c",
        "a=%zz",
        "a=\u00e4",
        "Host=x",
        "content-length=5",
        "Transfer-Encoding=chunked",
        "connection=close",
      ]
    ) {
      assert.equal(parsed(text), undefined, text);
    }
  });

  it("are a secret, and go over https only, or to this machine", () => {
    const key = "k1-that-must-not-show";
    const headers = { [HEADERS]: `api-key=${key}` };
    const [problem] = problemsOf({ ...headers, [ENDPOINT]: "http://otel-collector:4318" });
    assert.match(problem!, /^OTEL_EXPORTER_OTLP_HEADERS needs an https URL/);
    for (const url of ["https://otel.example", "http://127.0.0.1:4318", "http://localhost:4318"]) {
      const { settings } = goodSettings({ ...headers, [ENDPOINT]: url });
      assert.equal(settings[HEADERS]?.get("api-key")?.reveal(), key);
      assert.doesNotMatch(inspect(settings, { depth: 9 }), new RegExp(key));
    }
  });

  it("have no effect alone, which is said", () => {
    const { warnings } = goodSettings({ [HEADERS]: "api-key=k1" });
    assert(warnings.some((warning) => warning.includes("has no effect without")), warnings.join());
  });
});
