// Finds the command of a command line, runs it, and maps its result to an exit status.

import process from "node:process";
import { CommanderError } from "commander";
import { program, usageErrors } from "./commands/program.ts";
import { CommandError, EXIT } from "./exit.ts";

/** No command means `serve`; `--version` means `version`. */
function withCommand(args: readonly string[]): string[] {
  const rest = args.filter((arg, i) =>
    !arg.startsWith("--env-file") && args[i - 1] !== "--env-file"
  );
  if (rest.length === 0 && args.at(-1) !== "--env-file") return [...args, "serve"];
  // After an unknown option, the next word may be its value instead of a command.
  if (/^-(?!-?h(?:elp)?$|-version$)/.test(rest[0] ?? "")) return [...args];
  const word = rest.find((arg) => !arg.startsWith("-") && arg !== "help");
  // Otherwise `help` would be printed for an unknown command, without an error.
  if (word !== undefined && rest.indexOf(word) <= 1 && !isCommand(word)) return [word];
  return args.map((arg) => {
    if (arg === "--version" && arg === rest[0]) return "version";
    // The same id in base64 begins with a plus, which is not taken for an option.
    return rest[0] === "username" && HYPHEN_FIRST.test(arg) ? `+${arg.slice(1)}` : arg;
  });
}

function isCommand(word: string): boolean {
  return program.commands.some((command) => command.name() === word);
}

/** A short id that begins with a hyphen, alone or at the front of a username. */
const HYPHEN_FIRST = /^-[A-Za-z0-9_-]{21}={0,2}(?:$|[@:|](?!lookup))/;

// EPIPE: the reader, such as `| head -1`, has closed the pipe, which is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

/** @param given what follows the program's name; sets the exit status */
export async function runCommandLine(given: readonly string[]): Promise<void> {
  const args = withCommand(given);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    const status = await statusOf(error, args);
    process.exitCode = status;
    // What a start has opened before it failed must not keep the process running.
    process.stderr.write("", () => process.exit(status));
  }
}

async function statusOf(error: unknown, args: readonly string[]): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  const { reportFailure } = await import("./commands/failure.ts");
  const reported = error instanceof CommanderError
    ? new CommandError(EXIT.usage, usageErrors)
    : error;
  return await reportFailure(reported, { isService: isService(args), envFile: givenEnvFile(args) });
}

/** Not a command for people: `serve` or `sandbox`, or a word that is no command at all. */
function isService(args: readonly string[]): boolean {
  const word = args.find((arg, i) => !arg.startsWith("-") && args[i - 1] !== "--env-file");
  return word === undefined || word === "serve" || word === "sandbox" || !isCommand(word);
}

/** As in the arguments, which may be wrong otherwise. */
function givenEnvFile(args: readonly string[]): string | undefined {
  const [, joined] = args.map((arg) => /^--env-file=(.*)$/s.exec(arg)).find(Boolean) ?? [];
  const at = args.indexOf("--env-file");
  return joined ?? (at < 0 ? undefined : args[at + 1]);
}
