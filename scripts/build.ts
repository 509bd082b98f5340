// Builds the executable: `dist/smtp-oauth-relay` for the machine it runs on.
//
//   --all           one for every system instead, with SHA256SUMS, the list of what is in them (SBOM)
//                   and the licence notices
//   --target NAME   one for this system alone, such as linux-arm64: build/targets.ts
//   --report        also reports what the executable's octets consist of
//
// Run by Bun, whose compiler makes them.

import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { bundle, compile, type Facts } from "./build/bundle.ts";
import { checksums } from "./build/checksums.ts";
import { commit } from "./build/commit.ts";
import { readLock } from "./build/lock.ts";
import { isSigned, signAdHoc } from "./build/mach_o.ts";
import { notices } from "./build/notices.ts";
import { report } from "./build/report.ts";
import { fetchRuntime } from "./build/runtimes.ts";
import { sbom } from "./build/sbom.ts";
import { type Target, TARGETS } from "./build/targets.ts";

const NAME = "smtp-oauth-relay";
const OPTIONS = ["--all", "--report", "--target"];

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
const args = process.argv.slice(2);
const wanted = args.includes("--target") ? args.splice(args.indexOf("--target") + 1, 1)[0] : "";
const unknown = args.filter((arg) => !OPTIONS.includes(arg));
if (unknown.length > 0) {
  fail(`no such option: ${unknown.join(" ")}; there are ${OPTIONS.join(", ")}`, 2);
}
const target = TARGETS.find(({ name }) => name === wanted);
if (wanted !== "" && target === undefined) {
  const names = TARGETS.map(({ name }) => name);
  fail(`no such system: ${wanted ?? "(none)"}; there are ${names.join(", ")}`, 2);
}

mkdirSync(dist, { recursive: true });
const lock = readLock(root);
const bundled = await bundle(root);
const facts: Facts = { commit: commit(root), notices: notices(root, lock, bundled.files.keys()) };
// In here the file always has the same name, which the compiler writes into it.
const workshop = mkdtempSync(join(dist, ".build-"));
process.on("exit", () => rmSync(workshop, { recursive: true, force: true }));

if (args.includes("--all")) await buildAll();
else if (target !== undefined) await buildOne(target);
else await buildHere();

async function buildHere(): Promise<void> {
  const name = process.platform === "win32" ? `${NAME}.exe` : NAME;
  await compile(root, facts, join(workshop, NAME));
  renameSync(join(workshop, name), join(dist, name));
  printSize(name);
  if (args.includes("--report")) printReport(name, process.execPath);
}

async function buildAll(): Promise<void> {
  for (const name of readdirSync(dist)) {
    if (name.startsWith(`${NAME}-`)) rmSync(join(dist, name));
  }
  // An incomplete set with checksums would look complete.
  rmSync(join(dist, "SHA256SUMS"), { force: true });
  const names: string[] = [];
  let missing = 0;
  for (const target of TARGETS) {
    try {
      names.push(await buildFor(target));
    } catch (error) {
      missing++;
      const name = `${NAME}-${target.name}${target.suffix}`;
      process.stderr.write(`build: ${name} is not built: ${(error as Error).message}\n`);
    }
  }
  const others = {
    [`${NAME}.cdx.json`]: sbom(lock, facts.commit, bundled.files.keys()),
    "THIRD_PARTY_LICENSES.txt": facts.notices,
  };
  for (const [name, text] of Object.entries(others)) writeFileSync(join(dist, name), text);
  if (missing > 0) fail(`${missing} of ${TARGETS.length} executables are missing`, 1);
  const sums = await checksums(dist, [...names, ...Object.keys(others)]);
  writeFileSync(join(dist, "SHA256SUMS"), sums);
}

async function buildOne(target: Target): Promise<void> {
  // They would be those of another build.
  rmSync(join(dist, "SHA256SUMS"), { force: true });
  try {
    await buildFor(target);
  } catch (error) {
    fail((error as Error).message, 1);
  }
}

/** @returns the executable's file name */
async function buildFor(target: Target): Promise<string> {
  const name = `${NAME}-${target.name}${target.suffix}`;
  const folder = mkdtempSync(join(workshop, "target-"));
  try {
    const runtime = fetchRuntime(target, lock, folder);
    await compile(root, facts, join(folder, NAME), { target, runtime });
    const made = join(folder, `${NAME}${target.suffix}`);
    if (target.name.startsWith("darwin-")) seeToSignature(made);
    renameSync(made, join(dist, name));
    printSize(name);
    if (args.includes("--report")) printReport(name, runtime);
    return name;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Bun signs the one for Apple's processor, and not the one for Intel. */
function seeToSignature(path: string): void {
  const octets = readFileSync(path);
  if (!isSigned(octets)) writeFileSync(path, signAdHoc(octets, NAME));
}

function printSize(name: string): void {
  const size = statSync(join(dist, name)).size / 1_000_000;
  console.log(`dist/${name}  ${size.toFixed(1)} MB  ${facts.commit}`);
}

function printReport(name: string, runtime: string): void {
  const sizes = { executable: statSync(join(dist, name)).size, runtime: statSync(runtime).size };
  console.log(report(bundled, sizes));
}

function fail(line: string, status: number): never {
  process.stderr.write(`build: ${line}\n`);
  process.exit(status);
}
