/** The log, with its formats by their names. */
import { createLog as createLogIn, type LogOptions } from "../../src/observe/log.ts";
import { jsonLines } from "../../src/observe/json_lines.ts";

export * from "../../src/observe/log.ts";

export interface NamedOptions extends Omit<LogOptions, "format"> {
  readonly format: "text" | "json";
}

export function createLog({ format, ...others }: NamedOptions) {
  return createLogIn({ ...others, format: format === "json" ? jsonLines : format });
}
