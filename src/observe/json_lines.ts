// The log's lines as JSON, made by pino: a module of its own, because text needs none of it.

import pino from "pino";
import { loggable } from "./fields.ts";
import { inLine, LEVELS, type Line, type LogLevel } from "./log.ts";

const NUMBERS = Object.fromEntries(
  Object.entries(LEVELS).map(([name, number]) => [name.toLowerCase(), number]),
) as Record<Lowercase<LogLevel>, number>;

export function jsonLines(journal: boolean): Line {
  let json = "";
  let now = "";
  const logger = pino({
    level: "debug",
    customLevels: NUMBERS,
    useOnlyCustomLevels: true,
    base: null,
    messageKey: "message",
    timestamp: journal ? false : () => `,"time":"${now}"`,
    formatters: { level: (label) => ({ level: label.toUpperCase() }) },
  }, { write: (line) => void (json = line.trimEnd()) });
  return (time, level, message, fields) => {
    now = time;
    const plain: Record<string, unknown> = {};
    for (const name in fields) plain[name] = loggable(fields[name]);
    logger[level.toLowerCase() as Lowercase<LogLevel>](plain, message);
    return inLine(json);
  };
}
