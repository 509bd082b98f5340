// Prometheus's text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).

/** All samples of one metric. */
export interface Family {
  /** The whole name. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly samples: Iterable<Sample>;
}

export interface Sample {
  readonly labels: LabelValues;
  readonly value: number;
  /** Of a histogram: `_bucket`, `_sum` or `_count`. */
  readonly suffix?: string;
}

export type LabelValues = Readonly<Record<string, string>>;

export function familyText({ name, type, help, samples }: Family): string {
  const lines = [`# HELP ${name} ${escaped(help, /[\\\n]/g)}\n# TYPE ${name} ${type}\n`];
  for (const { suffix = "", labels, value } of samples) {
    lines.push(`${name}${suffix}${labelText(labels)} ${numberText(value)}\n`);
  }
  // Not by `+=`: as a text that is kept, that would keep all its parts.
  return lines.join("");
}

function labelText(labels: LabelValues): string {
  let text = "";
  for (const name in labels) {
    text += `${text === "" ? "{" : ","}${name}="${escaped(labels[name]!, /[\\"\n]/g)}"`;
  }
  return text === "" ? "" : text + "}";
}

export function numberText(value: number): string {
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}

function escaped(text: string, special: RegExp): string {
  return text.replace(special, (c) => c === "\n" ? "\\n" : "\\" + c);
}
