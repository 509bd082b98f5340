// The log: one line for each event, with fields, as text or JSON. fields.ts masks secrets.

import pino from "pino";
import { loggable, shortened } from "./fields.ts";

export type LogLevel = "DEBUG" | "INFO" | "WARNING" | "ERROR" | "CRITICAL";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  critical(message: string, fields?: LogFields): void;
}

/** A log that can be asked before a line is made for it. */
export interface LevelLog extends Log {
  /** Whether lines of this level are written. */
  enabled(level: LogLevel): boolean;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: "text" | "json";
  /** The lines go to systemd's journal: they begin with their priority, and have no time of their own. */
  readonly journal?: boolean;
  /** Takes whole lines with their line end. */
  readonly write: (line: string) => void;
}

/** Python's numbers for its levels. */
const LEVELS = { debug: 10, info: 20, warning: 30, error: 40, critical: 50 };

/** The journal's priorities, as sd-daemon(3) marks them. */
const PRIORITIES: Readonly<Record<string, string>> = {
  DEBUG: "<7>",
  INFO: "<6>",
  WARNING: "<4>",
  ERROR: "<3>",
  CRITICAL: "<2>",
} satisfies Record<LogLevel, string>;

export function createLog({ level, format, journal = false, write }: LogOptions): LevelLog {
  const form = format === "json" ? inLine : textLine;
  const destination = {
    write(line: string): void {
      const json = line.trimEnd();
      write(`${journal ? priorityOf(json) : ""}${form(json)}\n`);
    },
  };
  const logger = pino({
    level: level.toLowerCase() as Lowercase<LogLevel>,
    customLevels: LEVELS,
    useOnlyCustomLevels: true,
    base: null,
    messageKey: "message",
    timestamp: journal ? false : () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label.toUpperCase() }) },
  }, destination);
  const at = (method: Lowercase<LogLevel>) => (message: string, fields: LogFields = {}) => {
    if (logger.isLevelEnabled(method)) logger[method](loggable(fields), shortened(message));
  };
  return {
    enabled: (level) => logger.isLevelEnabled(level.toLowerCase()),
    debug: at("debug"),
    info: at("info"),
    warning: at("warning"),
    error: at("error"),
    critical: at("critical"),
  };
}

/** The level comes first in pino's JSON. */
function priorityOf(json: string): string {
  return PRIORITIES[/^\{"level":"([A-Z]+)"/.exec(json)?.[1] ?? ""] ?? "";
}

/** Converts pino's JSON to `time LEVEL message key=value …`. */
function textLine(json: string): string {
  const { time, level, message, ...fields } = JSON.parse(json) as Record<string, unknown>;
  let line = `${time === undefined ? "" : `${time} `}${level} ${inLine(String(message))}`;
  for (const key in fields) line += ` ${key}=${fieldValue(fields[key])}`;
  return line;
}

/** Bare if that is clear, else a JSON string: no value can begin a new line or a new field. */
function fieldValue(value: unknown): string {
  const text = typeof value === "string"
    ? value
    : isTexts(value)
    ? value.join(",")
    : JSON.stringify(value);
  return /^[\x21\x23-\x3c\x3e-\x7e]+$/.test(text) ? text : inLine(JSON.stringify(text));
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

/**
 * Escapes control characters, and characters that are invisible on a terminal or move text there.
 * JSON keeps its meaning, because they occur only in its strings.
 */
function inLine(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex -- finds control characters
    /[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
