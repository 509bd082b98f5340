/** The page that Prometheus reads (https://prometheus.io/docs/instrumenting/exposition_formats/). */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { HISTOGRAMS } from "../../src/observe/histograms.ts";
import { COUNTERS, Metrics } from "../../src/observe/metrics.ts";
import { REPLIES } from "../../src/smtp/reply.ts";

function read(path: string): string {
  return readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");
}

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

  it("are there at 0 from the start, with each value that a label may have", () => {
    const page = new Metrics().text();
    const total = (name: string, labels: string) => `smtp_oauth_relay_${name}_total${labels} 0\n`;
    for (const result of ["succeeded", "refused", "deferred"]) {
      assert.ok(page.includes(total("logins", `{result="${result}"}`)), result);
    }
    for (const result of ["sent", "refused", "deferred", "ambiguous", "repeated"]) {
      assert.ok(page.includes(total("messages", `{result="${result}"}`)), result);
    }
    for (const reason of ["missing", "foreign", "second"]) {
      assert.ok(page.includes(total("proxy_headers_refused", `{reason="${reason}"}`)), reason);
    }
    assert.ok(page.includes(total("connections", "")));
    // The limits that the page about them has.
    const limits = new Set(
      [...read("docs/limits.md").matchAll(/^\| `([A-Z_]+)` +\|/gm)].map(([, name]) => name!),
    );
    assert.ok(limits.size >= 10);
    for (const setting of [...limits, "AUTH_RATE_LIMIT", "MESSAGE_RATE_LIMIT"]) {
      assert.ok(page.includes(total("limit_hits", `{setting="${setting}"}`)), setting);
    }
    // What the session refuses with a reply of its own.
    const commands = readdirSync(new URL("../../src/smtp/", import.meta.url));
    const refused = commands.flatMap((file) => {
      return [...read(`src/smtp/${file}`).matchAll(/\.refuse\("([A-Z]+)", REPLIES\.(\w+)/g)];
    });
    assert.ok(refused.length >= 6);
    for (const [, command, name] of refused) {
      const { code } = REPLIES[name as keyof typeof REPLIES];
      const labels = `{command="${command}",code="${code}"}`;
      assert.ok(page.includes(total("refusals", labels)), labels);
    }
    // Nothing has been counted yet.
    assert.ok(page.split("\n").every((line) => line === "" || /^#| 0$/.test(line)));
  });

  it("say what each one is, before its first value", () => {
    const metrics = new Metrics();
    metrics.gauge({ name: "open_connections", value: () => 1 });
    const lines = metrics.text().trimEnd().split("\n");
    const described = new Map<string, string>();
    for (const [index, line] of lines.entries()) {
      const [, help] = /^# HELP (\w+) .*\.$/.exec(line) ?? [];
      if (help !== undefined) {
        const [, name, type] = /^# TYPE (\w+) (counter|gauge|histogram)$/.exec(lines[index + 1]!) ??
          [];
        assert.equal(name, help);
        described.set(help, type!);
      }
      if (line.startsWith("#")) continue;
      const sample = /^\w+/.exec(line)![0];
      const histogram = sample.replace(/_(?:bucket|sum|count)$/, "");
      const name = described.get(histogram) === "histogram" ? histogram : sample;
      assert.ok(described.has(name), line);
    }
    assert.deepEqual(
      [described.size, described.get("smtp_oauth_relay_open_connections")],
      [Object.keys(COUNTERS).length + Object.keys(HISTOGRAMS).length + 1, "gauge"],
    );
  });

  it("count a value that nobody has foreseen all the same", () => {
    const metrics = new Metrics();
    metrics.count("logins", { result: "refused" });
    metrics.count("logins", { result: "unforeseen" });
    assert.equal(metrics.value("logins", { result: "refused" }), 1);
    assert.match(metrics.text(), /logins_total\{result="unforeseen"\} 1\n/);
  });

  it("are the same on each page, however often it was read before", () => {
    const [read, unread] = [new Metrics(), new Metrics()];
    const changes: readonly ((metrics: Metrics) => void)[] = [
      (metrics) => metrics.count("messages", { result: "sent" }),
      (metrics) => metrics.count("messages", { result: "unforeseen" }, 7),
      (metrics) => metrics.observe("login_duration_seconds", { result: "refused" }, 0.2),
      (metrics) => metrics.observe("login_duration_seconds", { result: "unforeseen" }, 3),
      (metrics) => metrics.set("last_token_timestamp_seconds", {}, 5),
      (metrics) => metrics.set("last_token_timestamp_seconds", {}, 6),
    ];
    for (let i = 0; i < 3; i++) read.text();
    for (const change of changes) {
      for (const metrics of [read, unread]) change(metrics);
      for (let i = 0; i < 3; i++) read.text();
    }
    assert.equal(read.text(), unread.text());
    assert.match(read.text(), /login_duration_seconds_count\{result="unforeseen"\} 1\n/);
  });

  it("measure when they are asked", () => {
    const metrics = new Metrics();
    let value = 1;
    metrics.gauge({ name: "open_connections", value: () => value });
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
