// The variables that a command reads its settings from: this process's and an .env file's, or those of the
// installed service.

import process from "node:process";
import { serviceToCheck } from "../check/installed_service.ts";
import { CommandError, EXIT } from "../exit.ts";
import { environment } from "../settings/environment.ts";
import type { Environment } from "../settings/setting.ts";

export interface CommandVariables {
  readonly variables: Environment;
  /** Deletes the copies of a service's credentials. */
  close(): void;
}

/**
 * With a service, its working directory becomes this process's.
 *
 * @param service a unit, or true for the usual one; left out for none
 * @throws CommandError
 */
export function commandVariables(
  service: string | true | undefined,
  envFile: string | undefined,
): CommandVariables {
  if (service === undefined) return { variables: environment(envFile), close() {} };
  if (envFile !== undefined) {
    throw new CommandError(EXIT.usage, [
      "--service reads what its unit names: leave --env-file out",
    ]);
  }
  const found = serviceToCheck(service);
  for (const { level, what } of found.findings) {
    if (found.stopped) throw new CommandError(EXIT.failure, [what]);
    if (level !== "ok") process.stderr.write(`smtp-oauth-relay: ${what}\n`);
  }
  return found;
}
