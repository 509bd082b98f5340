// `install-service`: installs the relay as a systemd service, or prints what it would do.

import { existsSync, realpathSync } from "node:fs";
import process from "node:process";
import { ownExecutable } from "../runtime/current.ts";
import { install, type InstallOptions, PACKAGED_UNIT, plan } from "../systemd/install.ts";
import { machine } from "../systemd/machine.ts";
import { CommandError, EXIT } from "../exit.ts";
import { installed } from "./installed.ts";

export interface InstallServiceOptions {
  readonly print: boolean;
  readonly start: boolean;
  readonly socketActivation: boolean;
}

/**
 * @returns lines for standard output
 * @throws CommandError if it cannot be installed here, or does not run
 */
export function installService(
  { print, start, socketActivation }: InstallServiceOptions,
): readonly string[] {
  const executable = ownExecutable();
  const options: InstallOptions = {
    executable: executable === undefined ? "the executable" : realpathSync(executable),
    start,
    socketActivation,
  };
  if (print) return plan(options);
  const problems = whyNotHere(executable, socketActivation);
  if (problems.length > 0) throw new CommandError(EXIT.unavailable, problems);
  return installed(() => install(options, machine));
}

function whyNotHere(
  executable: string | undefined,
  socketActivation: boolean,
): readonly string[] {
  const problems: string[] = [];
  if (process.platform !== "linux") {
    return ["install-service is for Linux with systemd; this is another system"];
  }
  // sd_booted(3)
  if (!existsSync("/run/systemd/system")) {
    problems.push("install-service needs systemd, which is not running on this machine");
  }
  if (process.getuid?.() !== 0) {
    problems.push(
      "install-service must be run as root, as with sudo; --print only shows the units",
    );
  }
  // A unit in /etc would hide the package's, and upgrades of the package would change nothing.
  if (existsSync(PACKAGED_UNIT)) {
    const units = socketActivation
      ? "smtp-oauth-relay.socket smtp-oauth-relay-smtps.socket"
      : "smtp-oauth-relay";
    problems.push(
      "install-service is not for a machine with the relay's package, which brings the service: " +
        `systemctl enable --now ${units}`,
    );
  }
  if (executable === undefined) {
    problems.push(
      "install-service installs the compiled executable, and this is a run from source: " +
        "build it first (npm run build)",
    );
  }
  return problems;
}
