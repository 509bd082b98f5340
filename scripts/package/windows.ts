// The packages for Windows: the .msi, made by msibuild(1) of Debian's msitools and gcab(1), and the .zip for
// those who install by hand. Both have the host of the service, made by Debian's mingw-w64.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { NAME } from "../../src/commands/version.ts";
import { HOST, RELAY, SETTINGS_FILE } from "../../src/windows/names.ts";
import { MAINTAINER, SUMMARY } from "./metadata.ts";
import { CABINET, FILES, msiTables } from "./msi_tables.ts";
import type { Source } from "./tree.ts";

/** In the executable's name: scripts/build/targets.ts. */
export const WINDOWS = "windows-x64";
/** The packages' file names. */
export const WINDOWS_PACKAGES = [`${NAME}-${WINDOWS}.msi`, `${NAME}-${WINDOWS}.zip`] as const;

/** Programs, and Debian's packages that have them. */
export const WINDOWS_TOOLS = [
  ["x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"],
  ["msibuild", "msitools"],
  ["gcab", "gcab"],
  ["zip", "zip"],
] as const;

export interface WindowsOrder {
  /** Of package.json. */
  readonly version: string;
  readonly compress: boolean;
  /** An empty directory for what they are made from. */
  readonly folder: string;
  /** The directory that the packages are written to. */
  readonly output: string;
}

/** @returns the packages' file names */
export function makeWindows(source: Source, order: WindowsOrder): readonly string[] {
  const { root, epoch } = source;
  const tree = join(order.folder, NAME);
  mkdirSync(tree);
  copyFileSync(source.executable, join(tree, RELAY));
  makeHost(root, join(tree, HOST));
  const texts = {
    "LICENSE.txt": readFileSync(join(root, "LICENSE")),
    "THIRD_PARTY_LICENSES.txt": source.notices,
    "windows.md": readFileSync(join(root, "docs/windows.md")),
  };
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(tree, name), text);
  const [msi, zip] = WINDOWS_PACKAGES;
  makeMsi(source, order, tree, join(order.output, msi));
  makeZip(order, tree, join(order.output, zip), epoch);
  return WINDOWS_PACKAGES;
}

/** The same octets each time: without a time, and without the names of files. */
export function makeHost(root: string, path: string): void {
  execFileSync("x86_64-w64-mingw32-gcc", [
    ...["-std=c11", "-Os", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wformat=2"],
    ...["-Werror", "-municode", "-s"],
    ...["-Wl,--no-insert-timestamp", "-Wl,--dynamicbase,--nxcompat,--high-entropy-va"],
    ...["-o", path, join(root, "deploy/windows/service_host.c"), "-ladvapi32"],
  ]);
}

function makeMsi(
  { epoch }: Source,
  { version, compress, folder }: WindowsOrder,
  tree: string,
  msi: string,
): void {
  const cabinet = join(folder, "cabinet");
  mkdirSync(cabinet);
  const files = FILES.map(({ id, name }) => {
    const content = id === "Settings" ? SETTINGS_FILE : readFileSync(join(tree, name));
    // Named as in the table, which Windows Installer finds it by.
    writeFileSync(join(cabinet, id), content);
    utimesSync(join(cabinet, id), epoch, epoch);
    const octets = typeof content === "string" ? new TextEncoder().encode(content) : content;
    return { id, name, size: octets.length, md5: createHash("md5").update(octets).digest() };
  });
  run("gcab", ["-c", "-n", ...(compress ? ["-z"] : []), CABINET, ...FILES.map(({ id }) => id)], {
    cwd: cabinet,
    epoch,
  });
  const manufacturer = MAINTAINER.replace(/ <.*>$/, "");
  const tables = msiTables({ version, epoch, manufacturer, summary: SUMMARY, files });
  const imports: string[] = [];
  for (const [name, text] of tables) {
    writeFileSync(join(cabinet, `${name}.idt`), text, "latin1");
    imports.push("-i", `${name}.idt`);
  }
  const made = join(folder, "package.msi");
  run("msibuild", [made, ...imports, "-a", CABINET, CABINET], { cwd: cabinet, epoch });
  copyFileSync(made, msi);
}

function makeZip(
  { compress, folder }: WindowsOrder,
  tree: string,
  zip: string,
  epoch: number,
): void {
  const names = [RELAY, HOST, "LICENSE.txt", "THIRD_PARTY_LICENSES.txt", "windows.md"];
  for (const name of names) {
    chmodSync(join(tree, name), name.endsWith(".exe") ? 0o755 : 0o644);
    utimesSync(join(tree, name), epoch, epoch);
  }
  const made = join(folder, "package.zip");
  // -X: without the owner.
  const paths = names.map((name) => `${NAME}/${name}`);
  run("zip", ["-q", "-X", compress ? "-9" : "-0", made, ...paths], { cwd: folder, epoch });
  copyFileSync(made, zip);
}

function run(program: string, args: readonly string[], at: { cwd: string; epoch: number }): void {
  execFileSync(program, args, {
    cwd: at.cwd,
    // Both formats have local times.
    env: { ...process.env, TZ: "UTC", SOURCE_DATE_EPOCH: String(at.epoch) },
    stdio: ["ignore", "ignore", "inherit"],
  });
}
