// Windows' own programs for scripts/try_msi.mjs: on Windows itself, or of Wine where the environment names
// its program (WINE) and its folder (WINEPREFIX).

import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

export const SERVICE = "smtp-oauth-relay";
export const onWindows = process.platform === "win32";
const { WINE: wine = "", WINEPREFIX: prefix = "" } = process.env;

/** Milliseconds for one program: an installation is scanned as a whole. */
const PATIENCE = 300_000;

/** @returns why nothing can be tried here, or "" */
export function whyNotHere() {
  if (onWindows || (wine !== "" && prefix !== "")) return "";
  return "this needs Windows, or Wine: WINE and WINEPREFIX";
}

/** @returns the path under which this program reaches a file of Windows */
export function here(path) {
  if (onWindows) return path;
  return join(prefix, "drive_c", path.slice(3).replaceAll("\\", "/"));
}

/** @returns the path under which programs of Windows reach a file of this machine */
export function there(path) {
  return onWindows ? path : `Z:${path.replaceAll("/", "\\")}`;
}

/** Starts a program of Windows. */
export function started(program, args, { env, ...options }) {
  if (onWindows) return spawn(program, args, { env, ...options });
  const { WINEDEBUG = "-all" } = process.env;
  const ours = { ...env, WINEPREFIX: prefix, WINEDEBUG };
  return spawn(wine, [program, ...args], { env: ours, ...options });
}

/** @returns the status and what it prints */
export function run(program, ...args) {
  const command = onWindows ? [program, ...args] : [wine, program, ...args];
  const { status, stdout, stderr, error } = spawnSync(command[0], command.slice(1), {
    encoding: "utf8",
    timeout: PATIENCE,
    // msiexec has a grammar of its own, which Node's quotes would break: no argument here has a blank.
    windowsVerbatimArguments: program === "msiexec.exe",
  });
  return { status: error === undefined ? status : -1, output: `${stdout}${stderr}`.trim() };
}

/** @throws Error if it fails */
export function mustRun(program, ...args) {
  const { status, output } = run(program, ...args);
  if (status !== 0) throw new Error(`${[program, ...args].join(" ")}: status ${status}: ${output}`);
  return output;
}

/** @param verb `/i` or `/x` @throws Error with the end of the log if it ends with another status */
export function msiexec(verb, path, log, expected = 0) {
  const { status } = run("msiexec.exe", verb, there(path), "/qn", "/norestart", "/l*v", there(log));
  // Wine ends with the lowest eight bits.
  if (status === (onWindows ? expected : expected & 0xff)) return;
  const octets = readFileSync(log);
  const text = octets.toString(octets[0] === 0xff ? "utf16le" : "utf8");
  throw new Error(`msiexec ${verb} ${path}: status ${status}: ${text.slice(-4000)}`);
}

/** @returns the service's state, and how it ended; undefined if there is no service */
export function serviceState() {
  const { status, output } = run("sc.exe", "query", SERVICE);
  if (status !== 0) return undefined;
  const number = (label) => Number(new RegExp(`${label}\\s*:\\s*(\\d+)`).exec(output)?.[1]);
  const name = /\bSTATE\s*:\s*\d\s+([A-Z_]+)/.exec(output)?.[1];
  return { name, error: number("WIN32_EXIT_CODE"), code: number("SERVICE_EXIT_CODE") };
}

/** Waits until the service has a state. @throws Error if it does not get it in time */
export async function serviceGets(state, patience = 60_000) {
  const end = Date.now() + patience;
  for (;;) {
    const found = serviceState();
    if (found?.name === state) return found;
    if (Date.now() > end) throw new Error(`the service is ${found?.name}, and not ${state}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
