// The log: one line for each event, with fields, as text or JSON. fields.ts masks secrets.

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
  readonly format: LineFormat;
  /** The lines go to systemd's journal: they begin with their priority, and have no time of their own. */
  readonly journal?: boolean;
  /** Takes whole lines with their line end. */
  readonly write: (line: string) => void;
}

/** Python's numbers for its levels. */
export const LEVELS = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40, CRITICAL: 50 } as const;

/** The journal's priorities, as sd-daemon(3) marks them. */
const PRIORITIES: Readonly<Record<string, string>> = {
  DEBUG: "<7>",
  INFO: "<6>",
  WARNING: "<4>",
  ERROR: "<3>",
  CRITICAL: "<2>",
} satisfies Record<LogLevel, string>;

/** Text, or `jsonLines` of json_lines.ts. */
export type LineFormat = "text" | ((journal: boolean) => Line);

/** The format of LOG_FORMAT. What makes lines of JSON is loaded only for them. */
export async function lineFormat(name: "text" | "json"): Promise<LineFormat> {
  return name === "text" ? name : (await import("./json_lines.ts")).jsonLines;
}

export function createLog(
  { level: lowest, format, journal = false, write }: LogOptions,
): LevelLog {
  const line = format === "text" ? textLine : format(journal);
  const enabled = (level: LogLevel) => LEVELS[level] >= LEVELS[lowest];
  const at = (name: Lowercase<LogLevel>) => {
    const level = name.toUpperCase() as LogLevel;
    return (message: string, fields: LogFields = {}) => {
      if (!enabled(level)) return;
      const start = journal ? PRIORITIES[level] : "";
      const time = journal ? "" : timeText();
      write(`${start}${line(time, level, shortened(message), fields)}\n`);
    };
  };
  return {
    enabled,
    debug: at("debug"),
    info: at("info"),
    warning: at("warning"),
    error: at("error"),
    critical: at("critical"),
  };
}

let lastTime = { at: NaN, text: "" };

/** The time now. To make its text takes as long as a third of a line, and under load several lines have the same. */
function timeText(): string {
  const at = Date.now();
  if (at !== lastTime.at) lastTime = { at, text: new Date(at).toISOString() };
  return lastTime.text;
}

/**
 * @param time "" if the line has none
 * @param fields as they were given: `loggable` bounds each
 */
export type Line = (time: string, level: LogLevel, message: string, fields: LogFields) => string;

/** `time LEVEL message key=value …`; not by way of JSON, which would cost more than the rest of the line. */
const textLine: Line = (time, level, message, fields) => {
  let line = `${time === "" ? "" : `${time} `}${level} ${inLine(message)}`;
  for (const key in fields) {
    const given = fields[key];
    if (given === undefined) continue;
    if (typeof given === "string" ? BARE.test(given) : Number.isFinite(given)) {
      line = `${line}${beforeValue(key)}${given}`;
      continue;
    }
    const value = loggable(given);
    if (value !== undefined) line = `${line}${beforeValue(key)}${fieldValue(value)}`;
  }
  return line;
};

/** By field: the names are texts of the program, so they are few. Made anew, each was one more part of its line. */
const beginnings = new Map<string, string>();

function beforeValue(key: string): string {
  let beginning = beginnings.get(key);
  if (beginning === undefined) beginnings.set(key, beginning = ` ${key}=`);
  return beginning;
}

/**
 * Texts that are written as they are, as most are: short, and without what has to be quoted. Without tilde and space
 * they hold no secret that `loggable` would find.
 */
const BARE = /^[\x21\x23-\x3c\x3e-\x7d]{1,256}$/;

/** Bare if that is clear, else a JSON string: no value can begin a new line or a new field. */
function fieldValue(value: unknown): string {
  if (typeof value === "boolean" || Number.isFinite(value)) return String(value);
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

const PRINTABLE = /^[\x20-\x7e]*$/;

/**
 * Escapes control characters, and characters that are invisible on a terminal or move text there.
 * JSON keeps its meaning, because they occur only in its strings.
 */
export function inLine(text: string): string {
  if (PRINTABLE.test(text)) return text;
  return text.replace(
    // deno-lint-ignore no-control-regex -- finds control characters
    /[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
