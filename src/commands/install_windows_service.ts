// `install-service` on Windows: installs the relay as a service, removes it, or prints what it would do.

import { existsSync, realpathSync } from "node:fs";
import { win32 } from "node:path";
import process from "node:process";
import { CommandError, EXIT } from "../exit.ts";
import { ownExecutable } from "../runtime/current.ts";
import { install, plan, removalPlan, remove } from "../windows/install.ts";
import { machine } from "../windows/machine.ts";
import { HOST, layoutOf, PACKAGE } from "../windows/names.ts";
import { installed } from "./installed.ts";

export interface InstallWindowsServiceOptions {
  readonly print: boolean;
  readonly start: boolean;
  readonly remove: boolean;
}

/**
 * @returns lines for standard output
 * @throws CommandError if it cannot be installed here, or does not run
 */
export function installWindowsService(
  { print, start, remove: removing }: InstallWindowsServiceOptions,
): readonly string[] {
  const layout = layoutOf(process.env);
  const own = ownExecutable();
  const executable = own === undefined ? "smtp-oauth-relay.exe" : realpathSync(own);
  const options = { executable, layout, start };
  if (print) return removing ? removalPlan(layout) : plan(options);
  const problems = whyNotHere(own === undefined ? undefined : executable, removing);
  if (problems.length > 0) throw new CommandError(EXIT.unavailable, problems);
  return installed(() => removing ? remove(layout, machine) : install(options, machine));
}

function whyNotHere(executable: string | undefined, removing: boolean): readonly string[] {
  const problems: string[] = [];
  // The integrity levels "high" and "system": an administrator's console has the first.
  if (!/S-1-16-(?:12288|16384)/.test(machine.run(["whoami.exe", "/groups"]).output)) {
    problems.push("install-service must be run as administrator; --print only shows what it does");
  }
  if (machine.run(["reg.exe", "query", `HKLM\\${PACKAGE}`, "/v", "Installer"]).status === 0) {
    problems.push(
      "install-service is not for a machine with the relay's .msi package, which brings the service: " +
        "install or remove the package instead",
    );
  }
  if (removing) return problems;
  if (executable === undefined) {
    problems.push(
      "install-service installs the compiled executable, and this is a run from source: " +
        "build it first (npm run build)",
    );
  } else if (!existsSync(win32.join(win32.dirname(executable), HOST))) {
    problems.push(
      `install-service needs ${HOST} beside smtp-oauth-relay.exe: both are in the .zip file of the release`,
    );
  }
  return problems;
}
