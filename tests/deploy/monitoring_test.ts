/** deploy/monitoring and docs/monitoring.md, held against the metrics of the program. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { REASONS } from "../../src/observe/reasons.ts";
import { EXPRESSIONS, metricsIn, MONITORING, NAMES, read, RULES } from "./monitoring.ts";

const PAGE = readFileSync(
  fileURLToPath(new URL("../../docs/monitoring.md", import.meta.url)),
  "utf8",
);

function unknown(text: string): readonly string[] {
  return metricsIn(text).filter((name) => !NAMES.has(name));
}

interface AlertTest {
  readonly alertname: string;
  readonly exp_alerts: readonly unknown[];
}

describe("the alert rules", () => {
  it("name metrics that exist", () => {
    for (const { alert, expr } of RULES) {
      assert.ok(metricsIn(expr).length > 0, alert);
      assert.deepEqual(unknown(expr), [], alert);
    }
  });

  it("have a severity, a summary and their heading in docs/monitoring.md", () => {
    const headings = [...PAGE.matchAll(/^### (SmtpRelay\w+)$/gm)].map((match) => match[1]);
    assert.deepEqual(headings, RULES.map(({ alert }) => alert));
    for (const { alert, labels, annotations } of RULES) {
      assert.match(labels["severity"]!, /^(?:warning|critical)$/);
      assert.ok(annotations["summary"], alert);
      assert.equal(annotations["runbook"], `docs/monitoring.md#${alert.toLowerCase()}`);
    }
  });

  it("each have a test in which they fire, and one in which they do not", () => {
    const { tests } = read("alerts_test.yaml");
    const cases: readonly AlertTest[] = tests.flatMap((test: { alert_rule_test: AlertTest[] }) =>
      test.alert_rule_test
    );
    for (const { alert } of RULES) {
      const own = cases.filter(({ alertname }) => alertname === alert);
      assert.ok(own.some(({ exp_alerts }) => exp_alerts.length > 0), `${alert} never fires`);
      assert.ok(own.some(({ exp_alerts }) => exp_alerts.length === 0), `${alert} always fires`);
    }
  });

  it("are the same for the Prometheus Operator", () => {
    const rule = read("kubernetes/prometheus_rule.yaml");
    assert.deepEqual(
      [rule.apiVersion, rule.kind],
      ["monitoring.coreos.com/v1", "PrometheusRule"],
    );
    assert.deepEqual(rule.spec, read("alerts.yaml"));
  });
});

describe("the manifests for the Prometheus Operator", () => {
  const service = read("kubernetes/service.yaml");
  const { spec } = read("kubernetes/service_monitor.yaml");
  const deployment = read("../kubernetes/base/deployment.yaml");
  const pod = deployment.spec.template;
  const [container] = pod.spec.containers;

  it("select the relay's pods by way of their service", () => {
    assert.deepEqual(spec.selector.matchLabels, service.metadata.labels);
    for (const [name, value] of Object.entries(service.spec.selector)) {
      assert.equal(pod.metadata.labels[name], value);
    }
  });

  it("scrape the port that the container has, with the password that it asks for", () => {
    const [port] = service.spec.ports;
    const ports = container.ports.map(({ name }: { name: string }) => name);
    assert.ok(ports.includes(port.targetPort));
    const [endpoint] = spec.endpoints;
    assert.deepEqual([endpoint.port, endpoint.path], [port.name, "/metrics"]);
    const { valueFrom } = container.env.find(({ name }: { name: string }) =>
      name === "HTTP_PASSWORD"
    );
    assert.deepEqual(endpoint.basicAuth.password, valueFrom.secretKeyRef);
  });

  it("are all in the kustomization, in the namespace of the relay", () => {
    const { resources, namespace } = read("kubernetes/kustomization.yaml");
    assert.deepEqual(resources, ["service.yaml", "service_monitor.yaml", "prometheus_rule.yaml"]);
    assert.equal(namespace, read("../kubernetes/base/kustomization.yaml").namespace);
  });
});

describe("the dashboard", () => {
  it("names metrics that exist, and all of the relay's", () => {
    const used = EXPRESSIONS.flatMap(([panel, expression]) => {
      assert.deepEqual(unknown(expression), [], panel);
      return metricsIn(expression);
    });
    const shown = new Set(used.map((name) => name.replace(/_(?:bucket|sum|count|total)$/, "")));
    const missing = [...NAMES].map((name) => name.replace(/_(?:bucket|sum|count|total)$/, ""))
      .filter((name) => !shown.has(name));
    // The bytes of messages are in octets received; the rest is in other figures of the dashboard.
    assert.deepEqual([...new Set(missing)], [
      "smtp_oauth_relay_connections",
      "smtp_oauth_relay_message_bytes",
      "smtp_oauth_relay_last_token_timestamp_seconds",
    ]);
  });

  it("takes the relay and the data source from its variables", () => {
    const text = readFileSync(MONITORING + "dashboard.json", "utf8");
    const { panels, templating } = JSON.parse(text);
    const names = templating.list.map(({ name }: { name: string }) => name);
    assert.deepEqual(names, ["datasource", "instance"]);
    for (const { type, datasource, targets } of panels) {
      if (type === "row") continue;
      assert.equal(datasource.uid, "${datasource}");
      for (const { expr } of targets) assert.ok(expr.includes('instance=~"$instance"'), expr);
    }
  });

  it("has a place of its own for each panel", () => {
    const { panels } = read("dashboard.json");
    const taken = new Set<string>();
    for (const { id, title, gridPos: { x, y, w, h } } of panels) {
      assert.ok(x + w <= 24, title);
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          const place = `${column} ${line}`;
          assert.ok(!taken.has(place), `${id} ${title}`);
          taken.add(place);
        }
      }
    }
  });
});

describe("docs/monitoring.md", () => {
  it("names metrics that exist", () => {
    assert.deepEqual(unknown(PAGE), []);
    assert.ok(metricsIn(PAGE).length >= 8);
  });

  it("explains each reason", () => {
    const rows = [...PAGE.matchAll(/^\| `([a-z_]+)` +\|/gm)].map((match) => match[1]);
    assert.deepEqual(rows.filter((name) => name! in REASONS), Object.keys(REASONS));
  });
});
