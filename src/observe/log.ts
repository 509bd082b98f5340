// The log: one line an event, with fields, as text or JSON, on standard error.
//
// Secrets are masked by their type (`Secret.toJSON`), not by a pattern.

import pino from "pino";

export type LogLevel = "DEBUG" | "INFO" | "WARNING" | "ERROR" | "CRITICAL";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  critical(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: "text" | "json";
  /** Takes whole lines with their line end; standard error when left out. */
  readonly write?: (line: string) => void;
}

/** Python's numbers, by ten. */
const LEVELS = { debug: 10, info: 20, warning: 30, error: 40, critical: 50 };

export function createLog({ level, format, write }: LogOptions): Log {
  const out = write === undefined ? pino.destination({ fd: 2, sync: true }) : { write };
  const destination = format === "json" ? out : {
    write(line: string): void {
      out.write(textLine(line));
    },
  };
  const logger = pino({
    level: level.toLowerCase() as Lowercase<LogLevel>,
    customLevels: LEVELS,
    useOnlyCustomLevels: true,
    base: null,
    messageKey: "message",
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label.toUpperCase() }) },
  }, destination);
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warning: (message, fields = {}) => logger.warning(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
    critical: (message, fields = {}) => logger.critical(fields, message),
  };
}

/** `time LEVEL message key=value …` out of pino's JSON. */
function textLine(json: string): string {
  const { time, level, message, ...fields } = JSON.parse(json) as Record<string, unknown>;
  let line = `${time} ${level} ${inLine(String(message))}`;
  for (const key in fields) line += ` ${key}=${fieldValue(fields[key])}`;
  return line + "\n";
}

/** Bare where that is clear, else a JSON string: nothing can begin a new line or a new field. */
function fieldValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[\x21\x23-\x3c\x3e-\x7e]+$/.test(text) ? text : inLine(JSON.stringify(text));
}

/** Control characters, and those that move text about on a terminal, as escapes. */
function inLine(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex -- control characters are what is looked for
    /[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
