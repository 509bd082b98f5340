// What `check` is told on its command line, and where it gets the password from.

import { readFileSync } from "node:fs";
import { type Finding, finding } from "../check/finding.ts";
import type { TestMessage } from "../check/message.ts";
import { Secret } from "../secret.ts";
import { type Environment, withoutNewline } from "../settings/load.ts";
import { parsePathArgument } from "../smtp/path.ts";
import { CommandError, EXIT } from "./exit.ts";

export interface CheckOptions {
  readonly envFile?: string | undefined;
  readonly json: boolean;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** The variable that holds the password where there is no --password-file. */
const PASSWORD = "RELAY_PASSWORD";

/**
 * --from and --to, which go together and need a login.
 *
 * @throws CommandError 2
 */
export function testMessage(
  { username, passwordFile, from, to }: CheckOptions,
): TestMessage | undefined {
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
 * The password: from the file or from the variable. Never from the command line, which every user
 * of the machine can read.
 *
 * @returns what is wrong with the file, where it cannot be had from there; undefined without a username
 * @throws CommandError 2 where there is none, or both are given
 */
export function passwordFor(
  { username, passwordFile }: CheckOptions,
  variables: Environment,
): Secret | Finding | undefined {
  if (username === undefined) return undefined;
  const password = variables[PASSWORD] || undefined;
  if (passwordFile === undefined) {
    if (password !== undefined) return new Secret(password);
    throw usage(`--username needs --password-file or the variable ${PASSWORD}`);
  }
  // As with a setting and its file: nobody could see which of them counts.
  if (password !== undefined) {
    throw usage(`--password-file and ${PASSWORD} are both given: leave one of them out`);
  }
  const named = `--password-file ${JSON.stringify(passwordFile)}`;
  try {
    const read = withoutNewline(readFileSync(passwordFile, "utf8"));
    if (read !== "") return new Secret(read);
    return finding("login.password-file", `${named} is empty`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return finding("login.password-file", `${named} cannot be read: ${code ?? message}`);
  }
}

function usage(line: string): CommandError {
  return new CommandError(EXIT.usage, [line]);
}
