// `queue`: reads and changes the messages of the queue, beside a running relay or without one.

import { resolve } from "node:path";
import process from "node:process";
import { CommandError, EXIT } from "../exit.ts";
import { QueueInspection } from "../queue/inspection.ts";
import { Sealer } from "../queue/sealing.ts";
import { StoreError } from "../queue/store.ts";
import { openQueueAdministration } from "../relay/open_queue.ts";
import { settingsIn } from "../settings/environment.ts";
import { misspelled } from "../settings/load.ts";
import { queueAccessProblems } from "../settings/queue_settings.ts";
import type { Environment } from "../settings/setting.ts";
import { commandVariables } from "./command_variables.ts";
import { outgoingHttp } from "./outgoing.ts";
import { agreed } from "./printed.ts";
import { act } from "./queue_actions.ts";
import { type QueueCommand, type QueueOptions, readCommand } from "./queue_arguments.ts";

/** @throws CommandError */
export async function queue(
  words: readonly string[],
  options: QueueOptions,
  envFile: string | undefined,
): Promise<void> {
  const command = readCommand(words, withAbsoluteOutput(options));
  checkTerminal(command, options);
  const { variables, close } = commandVariables(options.service, envFile);
  try {
    await actWith(variables, command, options);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new CommandError(EXIT.failure, [`the queue: ${error.message}`]);
  } finally {
    close();
  }
}

/** Resolved before the working directory becomes the service's. */
function withAbsoluteOutput(options: QueueOptions): QueueOptions {
  const { output } = options;
  return output === undefined || output === "-" ? options : { ...options, output: resolve(output) };
}

/** @throws CommandError 2 if it cannot ask, or would print a message to a terminal unasked */
function checkTerminal(command: QueueCommand, { yes }: QueueOptions): void {
  if (command.action === "delete" && !yes && !process.stdin.isTTY) {
    throw new CommandError(EXIT.usage, [
      "queue delete asks for confirmation, but there is no terminal: add --yes",
    ]);
  }
  if (command.action === "export" && command.output === undefined && process.stdout.isTTY) {
    throw new CommandError(EXIT.usage, [
      "queue export prints the message as it came, which may confuse the terminal: add --output FILE, " +
      "or --output - for here",
    ]);
  }
}

async function actWith(
  variables: Environment,
  command: QueueCommand,
  { json, yes }: QueueOptions,
): Promise<void> {
  const settings = settingsIn([
    "QUEUE_URL",
    "QUEUE_CONNECTION_STRING",
    "QUEUE_KEY",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLOUD",
    "AZURE_AUTHORITY_HOST",
    "GRAPH_ENDPOINT",
    "EXTRA_CA_CERTS_FILEPATH",
    "HTTPS_PROXY",
    "NO_PROXY",
    "USERNAME_DELIMITER",
  ], variables);
  const problems = queueAccessProblems(settings);
  if (problems.length > 0) {
    throw new CommandError(EXIT.config, [...problems, ...misspelled(variables)]);
  }
  const { QUEUE_KEY: keys } = settings;
  const http = await outgoingHttp(settings);
  try {
    const administration = await openQueueAdministration(settings, http);
    try {
      const sealer = keys === undefined ? undefined : new Sealer(keys);
      await act(command, {
        administration,
        inspection: new QueueInspection(administration, sealer),
        delimiter: settings.USERNAME_DELIMITER,
        json: json ?? false,
        ...terminalColumns(),
        now: Date.now(),
        write,
        ...(yes ? {} : { ask: agreed }),
      });
    } finally {
      await administration.close();
    }
  } finally {
    http.close();
  }
}

function terminalColumns(): { readonly columns?: number } {
  const { isTTY, columns } = process.stdout;
  // A terminal that does not know its width says 0.
  return isTTY && columns > 0 ? { columns } : {};
}

/** A closed pipe ends the program (main.ts). */
function write(octets: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => process.stdout.write(octets, () => resolve()));
}
