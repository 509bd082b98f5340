// What deploy/monitoring has in it, read for tests.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { GAUGES } from "../../src/observe/gauges.ts";
import { HISTOGRAMS } from "../../src/observe/histograms.ts";
import { COUNTERS, PREFIX } from "../../src/observe/metrics.ts";
import { PROCESS_METRICS } from "../../src/relay/process_metrics.ts";

export const MONITORING = fileURLToPath(new URL("../../deploy/monitoring/", import.meta.url));

export interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

// deno-lint-ignore no-explicit-any -- each test knows its file's form
export function read(name: string): any {
  return parse(readFileSync(MONITORING + name, "utf8"), { version: "1.2" });
}

export const RULES: readonly Rule[] = read("alerts.yaml").groups[0].rules;

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** The dashboard's expressions, by panel, as Grafana sends them for all relays. */
export const EXPRESSIONS: readonly (readonly [panel: string, expression: string])[] = (() => {
  const { panels, annotations } = read("dashboard.json");
  return [
    ...panels.flatMap(({ title, targets = [] }: Panel) =>
      targets.map(({ expr }) => [title, filledIn(expr)] as const)
    ),
    ...annotations.list.map(({ name, expr }: { name: string; expr: string }) =>
      [name, filledIn(expr)] as const
    ),
  ];
})();

function filledIn(expression: string): string {
  return expression.replaceAll("$__rate_interval", "1m").replaceAll("$instance", ".*");
}

/** The names that a text has in it. */
export function metricsIn(text: string): readonly string[] {
  return text.match(/\b(?:smtp_oauth_relay|process)_[a-z_]+\b/g) ?? [];
}

/** All names that `/metrics` has. */
export const NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(COUNTERS).map((name) => `${PREFIX}${name}_total`),
  ...Object.keys(GAUGES).map((name) => PREFIX + name),
  ...Object.keys(HISTOGRAMS).flatMap((name) =>
    ["", "_bucket", "_sum", "_count"].map((suffix) => PREFIX + name + suffix)
  ),
  ...Object.keys(PROCESS_METRICS),
]);
