// Makes packages of the executables in `dist/`, by Debian's tools (dpkg-deb, and rpmbuild of its package
// `rpm`; for Windows those of package/windows.ts), and adds them to `dist/SHA256SUMS` where that is:
//
//   bun scripts/package.ts                  of all Linux systems with glibc, amd64 and arm64, and of Windows
//   bun scripts/package.ts linux-x64        of this one alone
//
//   --from DIRECTORY       where the executables are; dist
//   --output DIRECTORY     where the packages go; dist
//   --version VERSION      another version than package.json's, to test an upgrade
//   --settings FILE        another file for the settings, too
//   --uncompressed         quicker, for tests
//
// The same commit gives the same packages: their time is SOURCE_DATE_EPOCH, or else the commit's.

import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NAME, VERSION } from "../src/commands/version.ts";
import { SETTINGS_FILE } from "../src/systemd/install.ts";
import { bundle } from "./build/bundle.ts";
import { checksums } from "./build/checksums.ts";
import { readLock } from "./build/lock.ts";
import { notices } from "./build/notices.ts";
import { makeDeb } from "./package/deb.ts";
import { PACKAGE_TARGETS } from "./package/metadata.ts";
import { makeRpm } from "./package/rpm.ts";
import { packageVersion } from "./package/versions.ts";
import { makeWindows, WINDOWS, WINDOWS_TOOLS } from "./package/windows.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values, positionals } = options();
const from = resolve(values.from ?? join(root, "dist"));
const output = resolve(values.output ?? join(root, "dist"));
const version = packageVersion(values.version ?? VERSION);
const names = [...PACKAGE_TARGETS.map(({ name }) => name), WINDOWS];
const unknown = positionals.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  fail(`no such system: ${unknown.join(" ")}; there are ${names.join(", ")}`, 2);
}
const isWanted = (name: string) => positionals.length === 0 || positionals.includes(name);
const targets = PACKAGE_TARGETS.filter(({ name }) => isWanted(name));
const executables = new Map(targets.map(({ name }) => [name, join(from, `${NAME}-${name}`)]));
const forWindows = join(from, `${NAME}-${WINDOWS}.exe`);
if (isWanted(WINDOWS)) executables.set(WINDOWS, forWindows);
for (const [name, path] of executables) {
  if (!existsSync(path)) {
    fail(`${path} is missing: npm run build -- --target ${name} (or --all, for all of them)`, 1);
  }
}
const tools = [
  ...(targets.length > 0 ? [["dpkg-deb", "dpkg"], ["rpmbuild", "rpm"]] as const : []),
  ...(isWanted(WINDOWS) ? WINDOWS_TOOLS : []),
];
for (const [tool, debian] of tools) {
  if (spawnSync(tool, ["--version"], { stdio: "ignore" }).error !== undefined) {
    fail(`${tool} is missing: apt-get install ${debian}`, 1);
  }
}

const epoch = sourceDate();
const bundled = await bundle(root);
const settings = values.settings === undefined
  ? SETTINGS_FILE
  : readFileSync(values.settings, "utf8");
const text = notices(root, readLock(root), bundled.files.keys());
mkdirSync(output, { recursive: true });
const workshop = mkdtempSync(join(tmpdir(), "relay-packages-"));
process.on("exit", () => rmSync(workshop, { recursive: true, force: true }));
const made: string[] = [];
for (const target of targets) {
  removeOlder(target.debian, target.rpm);
  const executable = executables.get(target.name)!;
  const source = { root, executable, notices: text, settings, epoch };
  const folder = mkdtempSync(join(workshop, `${target.name}-`));
  const order = { target, version, epoch, compress: !values.uncompressed, folder, output };
  for (const make of [makeDeb, makeRpm]) {
    noteMade(make(source, order));
  }
  rmSync(folder, { recursive: true });
}
if (isWanted(WINDOWS)) {
  const source = { root, executable: forWindows, notices: text, settings: "", epoch };
  const folder = mkdtempSync(join(workshop, `${WINDOWS}-`));
  const order = { version: values.version ?? VERSION, compress: !values.uncompressed };
  for (const name of makeWindows(source, { ...order, folder, output })) noteMade(name);
}
await addSums();

function options() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        from: { type: "string" },
        output: { type: "string" },
        version: { type: "string" },
        settings: { type: "string" },
        uncompressed: { type: "boolean" },
      },
    });
  } catch (error) {
    return fail((error as Error).message, 2);
  }
}

/** Seconds since 1970 (https://reproducible-builds.org/specs/source-date-epoch/). */
function sourceDate(): number {
  const given = process.env["SOURCE_DATE_EPOCH"];
  if (given !== undefined && /^\d{1,11}$/.test(given)) return Number(given);
  if (given !== undefined) fail("SOURCE_DATE_EPOCH is no number of seconds", 2);
  try {
    const time = execFileSync("git", ["log", "-1", "--format=%ct"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return Number(time);
  } catch {
    return fail("git does not know the commit's time: set SOURCE_DATE_EPOCH", 1);
  }
}

function noteMade(name: string): void {
  console.log(`${name}  ${(statSync(join(output, name)).size / 1_000_000).toFixed(1)} MB`);
  made.push(name);
}

/** Packages of an earlier version would look as if they belonged to this one. */
function removeOlder(debian: string, rpm: string): void {
  const older = new RegExp(`^${NAME}(?:_[^_]+_${debian}\\.deb|-\\d.*\\.${rpm}\\.rpm)$`);
  for (const name of readdirSync(output)) if (older.test(name)) rmSync(join(output, name));
}

/** Where there are sums, they are of all files: those of packages that are gone, go. */
async function addSums(): Promise<void> {
  const file = join(output, "SHA256SUMS");
  if (!existsSync(file)) return;
  const others = readFileSync(file, "utf8").split("\n").filter((line) => {
    const name = line.slice(66);
    return name !== "" && !made.includes(name) && existsSync(join(output, name));
  });
  const lines = [...others, ...(await checksums(output, made)).trimEnd().split("\n")];
  const sorted = lines.sort((a, b) => a.slice(66) < b.slice(66) ? -1 : 1);
  writeFileSync(file, `${sorted.join("\n")}\n`);
}

function fail(line: string, status: number): never {
  process.stderr.write(`package: ${line}\n`);
  process.exit(status);
}
