// The program's commands, with their arguments, options and help: `command_line.ts` runs them, and
// `scripts/package/` makes the man page and the shells' completions of them. A command's own file is loaded
// when it runs.

import process from "node:process";
import { Command, Option } from "commander";
import { usageLine } from "../exit.ts";
import type { LookupOptions } from "./lookup.ts";
import type { QueueOptions } from "./queue_arguments.ts";
import type { SettingsOptions } from "./settings.ts";

/** What is wrong with the command line. */
export const usageErrors: string[] = [];

export const program = new Command("smtp-oauth-relay")
  .description("Takes mail by SMTP and hands it to Microsoft Graph. Without a command: serve.")
  .option("--version", "print name, version, commit and runtime")
  .option("--env-file <file>", "read settings from a .env file; the environment wins")
  .exitOverride()
  .configureOutput({
    // One line on standard error, with the nearest known name.
    outputError: (text) => usageErrors.push(usageLine(text)),
  });

command("serve", "run the relay with the settings from the environment")
  .action(async (_options, command: Command) => {
    const { serve } = await import("./serve.ts");
    await serve(envFile(command));
  });

command("sandbox", "run the relay with a simulated Entra ID and Graph, and an inbox page")
  .action(async (_options, command: Command) => {
    const { sandbox } = await import("./sandbox.ts");
    await sandbox(envFile(command));
  });

command("username", "print the SMTP username for two IDs, long and short; or the IDs in a username")
  .argument("<TENANT_ID|USERNAME>", "directory (tenant) ID, a UUID; alone: a username to read")
  .argument("[CLIENT_ID]", "application (client) ID, a UUID")
  .option("--json", "print one JSON object")
  .action(
    async (first: string, client: string | undefined, { json }, command: Command) => {
      const { linesOf, makeUsername, readUsername } = await import("./username.ts");
      if (client === undefined) {
        const username = readUsername(first, envFile(command));
        printAll(json ? [JSON.stringify(username)] : linesOf(username));
      } else {
        const username = makeUsername(first, client, envFile(command));
        printAll(json ? [JSON.stringify(username)] : [username.long, username.short]);
      }
    },
  );

command("check", "test everything that is configured, and name what is wrong and how to fix it")
  .option("--username <username>", "also log in, with this SMTP username in any of its forms")
  .option(
    "--password-file <file>",
    "read the password, a client secret or the device's own, from this file (- is standard input); " +
      "or set RELAY_PASSWORD",
  )
  .option("--from <address>", "also send a real test message, from this mailbox")
  .option("--to <address>", "the test message's recipient")
  .option(
    "--service [unit]",
    "check what the installed service runs with: its unit, environment and credentials",
  )
  .option("--json", "print the findings as JSON")
  .addHelpText(
    "after",
    "\nExit status: 0 if all is ok or warn, 1 if something is FAIL, 2 if the command line is wrong.",
  )
  .action(async (options: Record<string, string | true | undefined>, command: Command) => {
    const { check } = await import("./check.ts");
    const { username, passwordFile, from, to } = options as Record<string, string | undefined>;
    const { service } = options;
    const json = options["json"] !== undefined;
    await check({ envFile: envFile(command), service, username, passwordFile, from, to, json });
  });

command("lookup", "read and edit the entries of the lookup, in LOOKUP_FILE or the lookup table")
  .usage("list|get ID|set ID COLUMN=VALUE…|delete ID|set-password ID [options]")
  .argument("<ACTION>", "list, get, set, delete or set-password (make a password for a device)")
  .argument("[ID]", "the entry's id; in the table, its RowKey")
  .argument("[COLUMN=VALUE...]", "set: columns and their values; an empty value removes the column")
  .option("--json", "print JSON")
  .option("--yes", "delete without asking")
  .option("--length <number>", "set-password: characters; 24 if left out, at least 20")
  .option("--stdin", "set-password: take the password from standard input instead of making one")
  .option("--next", "set-password: keep the present password valid beside the new one")
  .option("--promote", "set-password: end the present password; the one of --next takes its place")
  .option("--service [unit]", "as root: use the settings of the installed service")
  .addHelpText(
    "after",
    "\nColumns: tenant_id, client_id, from_email, from_name, allowed_senders, disabled,\n" +
      "credential, description; password_hash and password_hash_next by set-password.\n\n" +
      "set-password prints the password once, alone on standard output, and stores its\n" +
      "hash. The entry needs a credential (the relay's own: certificate, managed-identity,\n" +
      "workload-identity or secret), and from_email or allowed_senders. For a printer:\n\n" +
      "  smtp-oauth-relay lookup set printer tenant_id=… client_id=… \\\n" +
      "    from_email=printer@example.com credential=certificate\n" +
      "  smtp-oauth-relay lookup set-password printer\n\n" +
      "The settings come from the environment or --env-file: LOOKUP_FILE, or AZURE_TABLES_URL.\n" +
      "As root, --service takes those of the installed service.\n\n" +
      "Exit status: 0 if done; 1 if an entry does not exist or its place cannot be read\n" +
      "or written; 2 if the command line is wrong; 78 if a setting is wrong.",
  )
  .action(async (action: string, id: string | undefined, ...rest: unknown[]) => {
    const { lookup } = await import("./lookup.ts");
    const [assignments, options, command] = rest as [string[], LookupOptions, Command];
    const words = [action, ...(id === undefined ? [] : [id]), ...assignments];
    print(await lookup(words, options, envFile(command)));
  });

command("queue", "read and change the messages of the queue: list, show, retry, delete, export")
  .usage("list|show ID|retry ID…|delete ID…|export ID [options]")
  .argument("[ACTION]", "list, show, retry (try now), delete or export (the message as it came)")
  .argument("[ID...]", "a message's id, which its client got with the 250")
  .option(
    "--state <states>",
    "list, retry, delete: only messages that are queued, sending, held or dead; several with commas",
  )
  .option(
    "--account <name>",
    "list, retry, delete: only messages of this username, lookup entry, tenant ID or client ID",
  )
  .option(
    "--older-than <time>",
    "list, retry, delete: only messages received longer ago than this, such as 2h",
  )
  .option("--all", "retry, delete: every message")
  .option("--limit <number>", "list: only the first so many messages")
  .option("--output <file>", "export: write to this new file; - is standard output")
  .option("--yes", "delete: do not ask")
  .option("--service [unit]", "as root: use the settings of the installed service")
  .option("--json", "list, show, retry, delete: print JSON")
  .addHelpText(
    "after",
    "\nIt works beside the running relay. It needs the relay's settings, above all\n" +
      "QUEUE_URL and QUEUE_KEY.\n\n" +
      "Exit status: 0 if done; 1 if a message does not exist, is being sent or cannot\n" +
      "be opened, or if the queue cannot be opened; 2 if the command line is wrong; 78\n" +
      "if a setting is wrong.",
  )
  .action(
    async (action: string | undefined, ids: string[], options: QueueOptions, command: Command) => {
      const { queue } = await import("./queue.ts");
      const { envFile: _, ...own } = options as QueueOptions & { readonly envFile?: string };
      await queue(action === undefined ? [] : [action, ...ids], own, envFile(command));
    },
  );

command("settings", "print every setting in force, and where its value comes from")
  .option("--changed", "only those that do not have their default")
  .option("--json", "print JSON")
  .addHelpText("after", "\nExit status: 0, or 78 if the relay would not start with them.")
  .action(async (options: SettingsOptions, command: Command) => {
    const { settings } = await import("./settings.ts");
    const { text, warnings } = settings(options, envFile(command));
    print(text);
    for (const warning of warnings) process.stderr.write(`smtp-oauth-relay: ${warning}\n`);
  });

command("healthcheck", "ask the running relay whether it is ready")
  .action(async (_options, command: Command) => {
    const { healthcheck } = await import("./healthcheck.ts");
    print(await healthcheck(envFile(command)));
  });

const onWindows = process.platform === "win32";
const kind = onWindows ? "a Windows service" : "a systemd service";

command("install-service", `install the relay as ${kind}, and start it`)
  .option("--print", `only print what would be done${onWindows ? "" : ", and the units"}`)
  .option("--no-start", "do not start it")
  .addOption(
    onWindows
      ? new Option("--remove", "remove the service, and keep settings, certificates, log and queue")
      : new Option("--socket-activation", "have systemd open ports 25, 587 and 465 for it"),
  )
  .addHelpText(
    "after",
    "\nDoing it again brings an installed service to this version. Settings go into\n" +
      (onWindows
        ? "%ProgramData%\\smtp-oauth-relay\\relay.env, cert.pem and key.pem into certs next to it."
        : "/etc/smtp-oauth-relay/environment, cert.pem and key.pem next to it."),
  )
  .action(async ({ print, start, remove, socketActivation }) => {
    if (onWindows) {
      const { installWindowsService } = await import("./install_windows_service.ts");
      return printAll(installWindowsService({ print: !!print, start, remove: !!remove }));
    }
    const { installService } = await import("./install_service.ts");
    printAll(installService({ print: !!print, start, socketActivation: !!socketActivation }));
  });

command("version", "print name, version, commit and runtime")
  .option("--licenses", "print the licence notices of what is in the executable")
  .action(async ({ licenses }) => {
    const { licenseNotices, versionLine } = await import("./version.ts");
    print(licenses ? licenseNotices().trimEnd() : await versionLine());
  });

function command(name: string, description: string): Command {
  return program.command(name).description(description)
    .option("--env-file <file>", "read settings from a .env file; the environment wins");
}

/** `--env-file` before the command or after it. */
function envFile(command: Command): string | undefined {
  return command.optsWithGlobals()["envFile"] as string | undefined;
}

function print(line: string): void {
  process.stdout.write(line + "\n");
}

function printAll(lines: readonly string[]): void {
  for (const line of lines) print(line);
}
