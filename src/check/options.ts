// The options of `check`: which are allowed together, and where the password comes from.

import { Buffer } from "node:buffer";
import { createReadStream } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { type Finding, finding } from "./finding.ts";
import type { TestMessage } from "./test_message.ts";
import { Secret } from "../secret.ts";
import { withoutNewline } from "../settings/load.ts";
import type { Environment } from "../settings/setting.ts";
import { parsePathArgument } from "../smtp/path.ts";
import { CommandError, EXIT } from "../exit.ts";

export interface CheckOptions {
  readonly envFile?: string | undefined;
  /** The unit of the service to check, in place of this command's own environment; true for the relay's own unit. */
  readonly service?: string | true | undefined;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** The variable that holds the password where there is no --password-file. */
const PASSWORD = "RELAY_PASSWORD";

/**
 * The test message of --from and --to, which need each other and a login.
 *
 * @throws CommandError 2
 */
export function testMessage(
  { username, passwordFile, from, to, service, envFile }: CheckOptions,
): TestMessage | undefined {
  if (service !== undefined && envFile !== undefined) {
    throw usage("--service reads what its unit names: leave --env-file out");
  }
  if (username === undefined) {
    const needy = { "--password-file": passwordFile, "--from": from, "--to": to };
    for (const [flag, value] of Object.entries(needy)) {
      if (value !== undefined) throw usage(`${flag} needs --username`);
    }
  }
  if (from === undefined && to === undefined) return undefined;
  if (from === undefined) throw usage("--to needs --from, the mailbox that sends");
  if (to === undefined) throw usage("--from needs --to, the address that receives");
  for (const [flag, address] of [["--from", from], ["--to", to]] as const) {
    const path = parsePathArgument(`<${address}>`);
    if (typeof path === "string" || !path.mailbox?.domain || path.parameters.length > 0) {
      throw usage(`${flag} ${JSON.stringify(address)} must be an e-mail address`);
    }
  }
  return { from, to };
}

/**
 * The password: from the file, from standard input or from the variable. Never from the command line,
 * which every user of the machine can read.
 *
 * @returns the problem if it cannot be read from the file; undefined without a username
 * @throws CommandError 2 if neither is given, or both are
 */
export async function passwordFor(
  { username, passwordFile }: Pick<CheckOptions, "username" | "passwordFile">,
  variables: Environment,
): Promise<Secret | Finding | undefined> {
  if (username === undefined) return undefined;
  const password = variables[PASSWORD] || undefined;
  if (passwordFile === undefined) {
    if (password !== undefined) return new Secret(password);
    throw usage(`--username needs --password-file or the variable ${PASSWORD}`);
  }
  // As with a setting and its file: it would be unclear which of them counts.
  if (password !== undefined) {
    throw usage(`--password-file and ${PASSWORD} are both given: leave one of them out`);
  }
  const named = passwordFile === "-"
    ? "--password-file - (standard input)"
    : `--password-file ${JSON.stringify(passwordFile)}`;
  try {
    const text = passwordFile !== "-"
      ? await readAll(createReadStream(passwordFile))
      : process.stdin.isTTY
      ? await promptHidden("Password: ")
      : await readAll(process.stdin);
    if (text === undefined) {
      return finding("login.password-file", `${named} has more in it than a password`);
    }
    const read = withoutNewline(text);
    if (read !== "") return new Secret(read);
    return finding("login.password-file", `${named} is empty`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return finding("login.password-file", `${named} cannot be read: ${code ?? message}`);
  }
}

/** Reads a line without echo; "" if the input ends before it. */
async function promptHidden(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  // The line editor echoes to its output, so that is discarded.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    return await new Promise((resolve, reject) => {
      terminal.once("close", () => resolve(""));
      terminal.question("").then(resolve, reject);
    });
  } finally {
    terminal.close();
    process.stderr.write("\n");
  }
}

/** Octets; every client secret and token is shorter. */
const LONGEST = 65_536;

/** Reads to the end; undefined if there are too many octets. */
async function readAll(source: AsyncIterable<Uint8Array>): Promise<string | undefined> {
  const pieces: Uint8Array[] = [];
  let octets = 0;
  for await (const piece of source) {
    octets += piece.length;
    if (octets > LONGEST) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function usage(line: string): CommandError {
  return new CommandError(EXIT.usage, [line]);
}
