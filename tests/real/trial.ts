// Runs of the program against an imitation, for its tests.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type ImitatedTenant, type Oddities, startImitation } from "./imitation.ts";
import { main, type World } from "./main.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** For the files of a test. */
export const folder = mkdtempSync(join(tmpdir(), "relay-real-test-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

export function settingsFile(settings: object, mode = 0o600): string {
  const path = join(folder, `${Math.random()}.json`);
  writeFileSync(path, JSON.stringify(settings), { mode });
  return path;
}

export interface Run {
  readonly status: number;
  readonly printed: string;
  readonly markdown: string;
  /** The report as JSON: answers by fact and by case. */
  readonly facts: ReadonlyMap<string, { answer: string; text: string }>;
  readonly cases: ReadonlyMap<string, { answer: string; text: string }>;
}

export async function real(
  settings: object,
  args: readonly string[],
  world: Partial<World> = {},
): Promise<Run> {
  const report = join(folder, `report-${Math.random()}`);
  const lines: string[] = [];
  const status = await main(
    ["--settings", settingsFile(settings), "--report", report, ...args],
    { environment: {}, print: (line) => void lines.push(line), ...world },
  );
  const has = existsSync(`${report}.json`);
  const json = has ? JSON.parse(readFileSync(`${report}.json`, "utf8")) : { facts: [], cases: [] };
  const byId = (rows: { id: string; answer: string; text: string }[]) =>
    new Map(rows.map((row) => [row.id, row]));
  return {
    status,
    printed: lines.join("\n"),
    markdown: has ? readFileSync(`${report}.md`, "utf8") : "",
    facts: byId(json.facts),
    cases: byId(json.cases),
  };
}

export async function withImitation<Value>(
  oddities: Oddities,
  use: (tenant: ImitatedTenant) => Promise<Value>,
): Promise<Value> {
  const tenant = await startImitation(oddities);
  try {
    return await use(tenant);
  } finally {
    await tenant.close();
  }
}
