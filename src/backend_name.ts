// The mail services that a relay can send with, as the setting BACKEND and the column `backend` name them.

export const BACKEND_NAMES = ["graph", "exchange", "smarthost", "hve", "acs"] as const;

/** `hve` and `acs` are presets of `smarthost`. */
export type BackendName = typeof BACKEND_NAMES[number];

/** Those that are reached by SMTP, as people know them. */
export const SMTP_SERVICES = {
  exchange: "Exchange by SMTP",
  smarthost: "Smarthost",
  hve: "HVE",
  acs: "ACS",
} as const satisfies Readonly<Record<Exclude<BackendName, "graph">, string>>;

/** In the order in which they are tried, each once. */
export type BackendNames = readonly [BackendName, ...BackendName[]];

export const BACKENDS_FORM = `one or more of ${BACKEND_NAMES.join(", ")}, with commas between them`;

export function isBackendName(text: unknown): text is BackendName {
  return BACKEND_NAMES.some((name) => name === text);
}

/** @returns undefined if one of them is unknown, or for a text that names no way out */
export function parseBackends(text: string): BackendNames | undefined {
  const parts = text.split(",").map((part) => part.trim().toLowerCase())
    .filter((part) => part !== "");
  if (!parts.every(isBackendName)) return undefined;
  const [first, ...rest] = new Set(parts);
  return first === undefined ? undefined : [first, ...rest];
}
