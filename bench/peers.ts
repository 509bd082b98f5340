// The relay beside what somebody would use or write instead: nodemailer's smtp-server with fetch on Bun, a
// relay on Go's go-smtp, one on Python's aiosmtpd, and as floors Postfix's smtp-sink and a bare sketch. All
// in turns inside of each round; medians, and ratios round by round, since the machine may be busy. Prints
// goals beside results as Markdown, and writes dist/performance/: Markdown, results.json, and charts.
//
// Peers come from npm, and from Debian's packages (golang, go-smtp, python3-aiosmtpd, python3-requests,
// postfix); what cannot be had is named. The executable logs at INFO and serves HTTP; it has no queue.
//
// RELAY_BENCH_SCENARIOS names some of the scenarios, with commas between them: results of the others stay if
// they are of the same commit and machine. RELAY_BENCH_ROUNDS sets the number of rounds.
//
// To publish the results: copy dist/performance/results.json to docs/performance.json, and run
// `bun scripts/docs.ts`.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import process from "node:process";
import { chartOf } from "./peers/chart.ts";
import { idle } from "./peers/idle.ts";
import { largeMail } from "./peers/large_mail.ts";
import { pace } from "./peers/pace.ts";
import { findPeers, type Peers } from "./peers/programs.ts";
import { missingLine, reportOf } from "./peers/report.ts";
import type { PeerId, Results } from "./peers/results.ts";
import { sessions } from "./peers/sessions.ts";
import { slowGraph } from "./peers/slow_graph.ts";
import { start } from "./peers/start.ts";
import { steady } from "./peers/steady.ts";
import { type Figures, World } from "./peers/world.ts";
import { root } from "./support.ts";

const SCENARIOS: Readonly<Record<string, (world: World) => Promise<Figures>>> = {
  steady,
  sessions,
  idle,
  start,
  large: largeMail,
  slow: slowGraph,
  pace,
};
const PLACE = `${root}dist/performance`;

export async function peers(): Promise<void> {
  const names = process.env["RELAY_BENCH_SCENARIOS"]?.split(",") ?? Object.keys(SCENARIOS);
  const unknown = names.filter((name) => !(name in SCENARIOS));
  if (unknown.length > 0) {
    const known = Object.keys(SCENARIOS).join(", ");
    throw new Error(`no such scenarios: ${unknown.join(", ")}; there are ${known}`);
  }
  const found = findPeers();
  console.log(missingLine(found.missing).trim());
  const rounds = process.env["RELAY_BENCH_ROUNDS"];
  const world = await World.create(found.found, rounds === undefined ? undefined : Number(rounds));
  let results = begin(found);
  try {
    for (const name of names) {
      const begun = performance.now();
      const figures = await SCENARIOS[name]!(world);
      const seconds = (performance.now() - begun) / 1000;
      console.log(`${name}: ${seconds.toFixed(0)} s`);
      results = {
        ...results,
        seconds: { ...results.seconds, [name]: seconds },
        figures: { ...results.figures, ...figures },
      };
      // At once, because a later scenario may fail.
      write(results);
    }
  } finally {
    world.remove();
  }
  console.log(`\n${reportOf(results)}`);
  console.log(`in ${PLACE.slice(root.length)}`);
}

/** With the results of an earlier run where they are comparable. */
function begin({ found, missing }: Peers): Results {
  const names = Object.fromEntries(found.map(({ id, name }) => [id, name]));
  const empty: Results = {
    commit: commitOf(names),
    machine: machine(),
    peers: names,
    missing,
    seconds: {},
    figures: {},
  };
  const path = `${PLACE}/results.json`;
  if (!existsSync(path)) return empty;
  const earlier = JSON.parse(readFileSync(path, "utf8")) as Results;
  const same = earlier.commit === empty.commit &&
    JSON.stringify(earlier.machine) === JSON.stringify(empty.machine);
  return same ? { ...empty, seconds: earlier.seconds, figures: earlier.figures } : empty;
}

/** The commit that the executable was built of, as it says itself. */
function commitOf(names: Partial<Record<PeerId, string>>): string {
  return /\(([^)]*)\)/.exec(names.ours ?? "")?.[1] ?? "unknown";
}

function machine(): Results["machine"] {
  const [cpu, ...others] = cpus();
  const distribution = existsSync("/etc/os-release")
    ? /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1]
    : undefined;
  return {
    processor: cpu?.model ?? "unknown",
    cores: others.length + 1,
    memory: Math.round(totalmem() / 1024 ** 3),
    system: `${distribution ?? ""} with ${type()} ${release()}`.trim(),
  };
}

function write(results: Results): void {
  mkdirSync(PLACE, { recursive: true });
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(5)) : value;
  writeFileSync(`${PLACE}/results.json`, JSON.stringify(results, rounded, 2) + "\n");
  writeFileSync(`${PLACE}/performance.md`, reportOf(results));
  writeFileSync(`${PLACE}/performance.svg`, chartOf(results));
}
