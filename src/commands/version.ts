// `version`: what this is, and what it runs on.

import process from "node:process";
import metadata from "../../package.json" with { type: "json" };
import { currentRuntime } from "../runtime/current.ts";

export const NAME = metadata.name;
export const VERSION = metadata.version;

/** Put in by `build`; a run from source has none. */
const COMMIT = process.env["RELAY_BUILD_COMMIT"] ?? "from source";

export async function versionLine(): Promise<string> {
  const { name, version } = await currentRuntime();
  return `${NAME} ${VERSION} (${COMMIT}) on ${name} ${version}`;
}
