// Opens LOOKUP_FILE, and reports what happens to it as events.

import type { LookupFile, LookupFileReport } from "../accounts/lookup_file.ts";
import { CommandError, EXIT } from "../exit.ts";
import type { Notify } from "../observe/relay_event.ts";
import { fileErrorText } from "../settings/file_error.ts";
import { quoted } from "../settings/quoted.ts";
import type { Settings } from "../settings/schema.ts";

/**
 * Loads the file and what reads it; undefined if LOOKUP_FILE is not set.
 *
 * @throws CommandError 78 if the file cannot be used
 */
export async function openLookupFile(
  { LOOKUP_FILE: path }: Pick<Settings, "LOOKUP_FILE">,
  notify: Notify,
): Promise<LookupFile | undefined> {
  if (path === undefined) return undefined;
  const { LookupFile, LookupFileError } = await import("../accounts/lookup_file.ts");
  // Whether the last look has failed.
  let failed = false;
  const report = (report: LookupFileReport) => {
    const isUsable = report.type !== "kept" && report.type !== "exposed";
    notify({ type: "lookupFile", report, recovered: failed && isUsable });
    failed = report.type === "kept" || failed && !isUsable;
  };
  try {
    return await LookupFile.open({ path, report, explain: fileErrorText });
  } catch (error) {
    if (!(error instanceof LookupFileError)) throw error;
    const remedy = error.message.endsWith("(ENOENT)")
      ? ". Create it with: smtp-oauth-relay lookup set; {} is a file without entries"
      : "";
    throw new CommandError(EXIT.config, [`LOOKUP_FILE ${quoted(path)}: ${error.message}${remedy}`]);
  }
}
