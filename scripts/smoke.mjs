// Starts an executable and sends a message through it, as far as that goes on any system without other
// programs: `node scripts/smoke.mjs EXECUTABLE`. It asks `version`, starts `sandbox` on free loopback
// ports, sends a message by SMTP with STARTTLS and AUTH, finds it in the inbox, asks `healthcheck`, and
// ends the sandbox. Prints one line; exit 0 when all is well, 1 when not, 2 for wrong arguments.

import { execFile } from "node:child_process";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { connectionOf, end, environment, inInbox, PATIENCE, send, start } from "./smoke/parts.mjs";

const [argument, ...surplus] = process.argv.slice(2);
if (argument === undefined || surplus.length > 0) {
  console.error("usage: node scripts/smoke.mjs EXECUTABLE");
  process.exit(2);
}
const executable = resolve(argument);
const SUBJECT = "A message to try the executable";

try {
  // A download is not executable yet.
  if (process.platform !== "win32" && existsSync(executable)) chmodSync(executable, 0o755);
  console.log(`ok smoke: ${await tryOut()}`);
} catch (error) {
  console.error(`FAIL smoke: ${error.message}`);
  process.exitCode = 1;
}

async function tryOut() {
  const version = await ask("version");
  const { version: expected } = JSON.parse(
    readFileSync(new URL("../package.json", import.meta.url), "utf8"),
  );
  if (!version.startsWith(`smtp-oauth-relay ${expected} (`)) {
    throw new Error(`version says "${version}", and package.json ${expected}`);
  }
  const sandbox = start(executable);
  try {
    const { inbox, ...connection } = await connectionOf(sandbox);
    await send(connection, SUBJECT);
    // The reply `250` means that the imitated Graph has the message already.
    if (!await inInbox(inbox, SUBJECT)) throw new Error("the inbox does not have the message");
    const { host } = new URL(inbox);
    const health = await ask("healthcheck", { HTTP_LISTEN: host });
    if (health !== "ready") throw new Error(`healthcheck says "${health}"`);
  } finally {
    await end(sandbox);
  }
  // A signal on Windows ends a process at once, without a status of its own.
  if (process.platform !== "win32" && sandbox.exitCode !== 0) {
    throw new Error(`the sandbox ended with ${sandbox.exitCode ?? sandbox.signalCode}`);
  }
  return version;
}

/** @returns what a command of the executable prints */
async function ask(command, variables = {}) {
  try {
    const { stdout } = await promisify(execFile)(executable, [command], {
      env: { ...environment, ...variables },
      timeout: PATIENCE,
    });
    return stdout.trim();
  } catch (error) {
    const said = String(error.stderr ?? "").trim();
    throw new Error(`${command}: ${said === "" ? error.message : said}`);
  }
}
