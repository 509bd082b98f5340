// The results as Markdown.

import { type Section, SECTIONS } from "./figures.ts";
import { type Goal, GOALS, isMet } from "./goals.ts";
import { PEER_IDS, type PeerId, type Results, valueOf } from "./results.ts";

const NAMES: Readonly<Record<PeerId, string>> = {
  "ours": "this relay",
  "smtp-server": "smtp-server",
  "go-smtp": "go-smtp",
  "aiosmtpd": "aiosmtpd",
  "smtp-sink": "smtp-sink",
  "sketch": "sketch",
};

export function reportOf(results: Results): string {
  const sections = SECTIONS.map((section) =>
    [`## ${section.title}`, section.text, sectionTable(results, section)].join("\n\n")
  );
  return [
    "# Performance",
    provenance(results),
    "## Goals",
    goalsTable(results),
    ...sections,
    "## What the bench itself takes",
    bottleneck(results),
  ].join("\n\n") + "\n";
}

/** Commit, machine, and what was measured. */
export function provenance({ commit, machine, peers, missing, seconds }: Results): string {
  const { processor, cores, memory, system } = machine;
  const minutes = Object.values(seconds).reduce((sum, value) => sum + value, 0) / 60;
  return [
    `Commit \`${commit}\`, ${cores} cores (${processor}), ${memory.toFixed(0)} GiB of memory, ` +
    `${system}. ${minutes.toFixed(0)} minutes, by \`npm run bench -- peers\`. Clients, cloud and ` +
    "relay share the cores, all on the loopback. Medians of rounds in turn.",
    ...PEER_IDS.filter((id) => peers[id] !== undefined).map((id) =>
      `- **${NAMES[id]}**: ${peers[id]}`
    ),
    missingLine(missing),
  ].join("\n").replace("\n-", "\n\n-");
}

/** One line about the peers that could not be had. */
export function missingLine(missing: readonly string[]): string {
  if (missing.length === 0) return "\nAll peers could be had.";
  return `\nCould not be had: ${missing.join("; ")}.`;
}

export function goalsTable(results: Results): string {
  return table(
    ["", "goal", "measured", ""],
    GOALS.map((goal) => {
      const measured = goal.measured(results);
      const shown = measured === undefined ? "not measured" : amount(measured, goal);
      const met = measured === undefined ? "" : isMet(goal, measured) ? "met" : "**missed**";
      return [goal.title, goalText(goal), shown, met];
    }),
  );
}

export function goalText(goal: Goal): string {
  return `${goal.sense === "at least" ? "≥" : "≤"} ${amount(goal.limit, goal)}`;
}

function amount(value: number, { digits, unit }: Pick<Goal, "digits" | "unit">): string {
  return `${number(value, digits)} ${unit}`.trimEnd();
}

/** A figure in each row, a peer in each column. */
export function sectionTable(results: Results, { figures }: Section): string {
  const ids = Object.keys(figures);
  const peers = PEER_IDS.filter((peer) =>
    ids.some((id) => valueOf(results, id, peer) !== undefined)
  );
  if (peers.length === 0) return "Not measured.";
  const rows = Object.entries(figures).map(([id, { title, digits }]) => [
    title,
    ...peers.map((peer) => {
      const value = valueOf(results, id, peer);
      return value === undefined ? "" : number(value, digits);
    }),
  ]);
  return table(["", ...peers.map((peer) => NAMES[peer])], rows);
}

/** How much of a core the load and the cloud took, and how much faster the sketch went between them. */
export function bottleneck(results: Results): string {
  const rate = valueOf(results, "steady.rate", "ours");
  const sketch = valueOf(results, "steady.rate", "sketch");
  const cpu = valueOf(results, "steady.cpu", "ours");
  const clients = valueOf(results, "steady.clients", "ours");
  const cloud = valueOf(results, "steady.cloud", "ours");
  if (
    rate === undefined || sketch === undefined || cpu === undefined || clients === undefined ||
    cloud === undefined
  ) return "Not measured.";
  const cores = (seconds: number) => number(seconds * rate / 1000, 2);
  return `At this relay's top rate the relay takes ${cores(cpu)} of a core, the clients ` +
    `${cores(clients)} and the cloud ${
      cores(cloud)
    }. Between the same clients and the same cloud ` +
    `the sketch passes ${
      number(sketch / rate, 1)
    } times as many messages: neither is what limits ` +
    "the relay.";
}

/** With commas between thousands. */
export function number(value: number, digits: number): string {
  const [whole, fraction] = value.toFixed(digits).split(".") as [string, string?];
  const grouped = whole.replace(/\B(?=(?:\d{3})+$)/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, column) => column === 0 ? "---" : "---:");
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
