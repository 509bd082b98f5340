// A release's files in small, and what `scripts/release/manifests.mjs` makes of them.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { TARGETS } from "../../../scripts/build/targets.ts";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** The text of package.json. */
export const METADATA = readFileSync(join(ROOT, "package.json"), "utf8");
export const { version: VERSION } = JSON.parse(METADATA) as { version: string };
/** What the repository has in place of a checksum. */
export const ZEROS = "0".repeat(64);
export const FORMULA = "smtp-oauth-relay.rb";
/** What is made. */
export const NEW = [
  `smtp-oauth-relay-${VERSION}.tgz`,
  FORMULA,
  "SmtpOauthRelay.SmtpOauthRelay.installer.yaml",
  "SmtpOauthRelay.SmtpOauthRelay.locale.en-US.yaml",
  "SmtpOauthRelay.SmtpOauthRelay.yaml",
];

// deno-lint-ignore no-explicit-any -- what others' formats hold
export type Manifest = any;

export const sumOf = (path: string) =>
  createHash("sha256").update(readFileSync(path)).digest("hex");

export function run(command: string, ...args: string[]) {
  const env = { ...process.env, SOURCE_DATE_EPOCH: "1767225600" };
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env });
  return { status, stdout, stderr };
}

/** Runs the script. */
export const make = (...args: string[]) =>
  run("node", join(ROOT, "scripts/release/manifests.mjs"), ...args);

/** Folders of releases, until they are removed. */
export class Releases {
  readonly work: string = mkdtempSync(join(tmpdir(), "relay-manifests-"));

  /** A folder with a file for each system, as the build leaves it. */
  add(name: string): string {
    const folder = join(this.work, name);
    mkdirSync(folder);
    for (const { name, suffix } of TARGETS) {
      writeFileSync(join(folder, `smtp-oauth-relay-${name}${suffix}`), `for ${name}`);
    }
    writeFileSync(join(folder, "smtp-oauth-relay-windows-x64.msi"), "an installer");
    const lines = readdirSync(folder).sort().map((file) =>
      `${sumOf(join(folder, file))}  ${file}\n`
    );
    writeFileSync(join(folder, "SHA256SUMS"), lines.join(""));
    return folder;
  }

  remove(): void {
    rmSync(this.work, { recursive: true });
  }
}
