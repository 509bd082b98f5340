/** The page that Prometheus reads (https://prometheus.io/docs/instrumenting/exposition_formats/). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Metrics } from "../../src/observe/metrics.ts";

describe("metrics", () => {
  it("count by their labels", () => {
    const metrics = new Metrics();
    metrics.count("limit_hits", { setting: "MAX_CONNECTIONS" });
    metrics.count("limit_hits", { setting: "MAX_CONNECTIONS" });
    metrics.count("limit_hits", { setting: "MAX_MEMORY" });
    const lines = metrics.text().split("\n");
    for (
      const line of [
        "# TYPE smtp_oauth_relay_limit_hits_total counter",
        'smtp_oauth_relay_limit_hits_total{setting="MAX_CONNECTIONS"} 2',
        'smtp_oauth_relay_limit_hits_total{setting="MAX_MEMORY"} 1',
        "smtp_oauth_relay_internal_errors_total 0",
      ]
    ) assert.ok(lines.includes(line), line);
  });

  it("measure when they are asked", () => {
    const metrics = new Metrics();
    let value = 1;
    metrics.gauge({ name: "open_connections", help: "Open.", value: () => value });
    value = 7;
    assert.match(
      metrics.text(),
      /^# TYPE smtp_oauth_relay_open_connections gauge\nsmtp_oauth_relay_open_connections 7$/m,
    );
  });

  it("cannot be broken by a label's value", () => {
    const metrics = new Metrics();
    metrics.count("limit_hits", { setting: 'a"b\\c\nd' });
    assert.ok(metrics.text().includes('{setting="a\\"b\\\\c\\nd"} 1\n'));
  });
});
