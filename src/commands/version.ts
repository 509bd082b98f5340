// `version`: what this is, and what it runs on.

import metadata from "../../package.json" with { type: "json" };
import { currentRuntime } from "../runtime/current.ts";

export const NAME = metadata.name;
export const VERSION = metadata.version;

/** Put in by `build`; a run from source has none. */
declare const RELAY_BUILD_COMMIT: string | undefined;
const COMMIT = typeof RELAY_BUILD_COMMIT === "undefined" ? "from source" : RELAY_BUILD_COMMIT;

export async function versionLine(): Promise<string> {
  const { name, version } = await currentRuntime();
  return `${NAME} ${VERSION} (${COMMIT}) on ${name} ${version}`;
}
