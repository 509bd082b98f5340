// `version`: name, version, commit and runtime; with --licenses, the notices of what is bundled.

import metadata from "../../package.json" with { type: "json" };
import { CommandError, EXIT } from "../exit.ts";
import { currentRuntime } from "../runtime/current.ts";

export const NAME = metadata.name;
export const VERSION = metadata.version;

/** Defined by `build`; undefined in a run from source. */
declare const RELAY_BUILD_COMMIT: string | undefined;
const COMMIT = typeof RELAY_BUILD_COMMIT === "undefined" ? "from source" : RELAY_BUILD_COMMIT;

export async function versionLine(): Promise<string> {
  const { name, version } = await currentRuntime();
  return `${NAME} ${VERSION} (${COMMIT}) on ${name} ${version}`;
}

/** The labels of the metric `build_info`. */
export async function buildLabels() {
  const { name, version } = await currentRuntime();
  return { version: VERSION, commit: COMMIT, runtime: name, runtime_version: version };
}

/** Defined by `build`; undefined in a run from source, which bundles nothing. */
declare const RELAY_BUILD_NOTICES: string | undefined;

/** @throws CommandError in a run from source */
export function licenseNotices(): string {
  if (typeof RELAY_BUILD_NOTICES === "undefined") {
    throw new CommandError(EXIT.failure, [
      "only the executable contains the notices: from source, see LICENSE and node_modules",
    ]);
  }
  return RELAY_BUILD_NOTICES;
}
