// `version --licenses`: the notices of what is bundled, which have to go along with it.

import { CommandError, EXIT } from "../exit.ts";

/** Put in by `build`; a run from source bundles nothing. */
declare const RELAY_BUILD_NOTICES: string | undefined;

/** @throws CommandError in a run from source */
export function licenseNotices(): string {
  if (typeof RELAY_BUILD_NOTICES === "undefined") {
    throw new CommandError(EXIT.failure, [
      "only the executable has the notices with it: from source, see LICENSE and node_modules",
    ]);
  }
  return RELAY_BUILD_NOTICES;
}
