// The program as its users run it: a process on this runtime and (under Bun) compiled.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { TEST_RUN, THOROUGH } from "../support/thorough.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Program {
  readonly name: string;
  readonly command: readonly string[];
}

const main = `${root}src/main.ts`;
const executable = `${root}dist/smtp-oauth-relay`;

/** The program from source, on this runtime. */
export const SOURCE: Program = "Deno" in globalThis
  ? { name: "Deno", command: [process.execPath, "run", "-A", "--no-check", main] }
  : { name: "Bun", command: [process.execPath, main] };

/** What is shipped: on Bun the executable, which is the same code. `npm test` builds it first. */
export const SHIPPED: Program = "Deno" in globalThis
  ? SOURCE
  : { name: "the executable", command: [executable] };

/**
 * The programs under test: each run of the suite uses its own runtime. From source, Bun takes three times as
 * long to start as the executable does, so that is for `npm run test:long`.
 */
export const PROGRAMS: readonly Program[] = TEST_RUN === "again" || SHIPPED === SOURCE
  ? [SOURCE]
  : TEST_RUN === "long"
  ? [SOURCE, SHIPPED]
  : [SHIPPED];

/**
 * Cases of which each starts a process and needs little of the runtime. Deno takes four times as long to
 * start as the executable: there `npm test` tries every fourth, and `npm run test:long` all.
 */
export function startable<Case>(program: Program, cases: readonly Case[]): readonly Case[] {
  return cases.filter((_, number) => isTried(program, number));
}

/** `it` for tests that start several processes each, for the same reason. */
export function startableIt(program: Program): (name: string, run: () => Promise<void>) => void {
  let number = 0;
  return (name, run) => {
    if (isTried(program, number++)) it(name, run);
  };
}

function isTried(program: Program, number: number): boolean {
  return THOROUGH || program.name !== "Deno" || number % 4 === 0;
}

if (!("Deno" in globalThis) && !existsSync(executable)) {
  throw new Error("dist/smtp-oauth-relay is missing: build it first (npm run build)");
}

/** A process of the program, with its output so far. */
export class Running {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly exited: Promise<number | null>;
  #changed: (() => void)[] = [];

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#notify();
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#notify();
    });
    // `close` comes when the output has been read to its end, `exit` may come before.
    this.exited = new Promise((resolve) =>
      child.once("close", (code) => {
        resolve(code);
        this.#notify();
      })
    );
  }

  /** Waits until the output matches. */
  async until(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this[stream]);
      if (match !== null) return match;
      const ended = this.child.exitCode ?? this.child.signalCode;
      if (ended !== null) {
        throw new Error(
          `ended with ${ended} before ${pattern}: ${this.stdout}${this.stderr}`,
        );
      }
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  /** Stops it as a service manager does. @returns its exit status */
  stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    // Not `child.kill`: after it, Deno reports the signal instead of the exit status.
    process.kill(this.child.pid!, signal);
    return this.exited;
  }

  #notify(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}

/** Starts the program with these variables and none of the test's own. */
export function run(
  program: Program,
  args: readonly string[],
  environment: Record<string, string> = {},
): Running {
  const [command, ...before] = program.command;
  return new Running(spawn(command!, [...before, ...args], {
    cwd: root,
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      // Deno would ask the network for a newer Deno.
      DENO_NO_UPDATE_CHECK: "1",
      // Never probe for an identity of the machine.
      AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  }));
}

export interface Relay {
  readonly running: Running;
  readonly smtp: number;
  readonly smtps: number;
  readonly http: number;
}

/** Starts `serve` on free ports of the loopback. */
export async function serve(program: Program, environment: Record<string, string>): Promise<Relay> {
  const running = run(program, ["serve"], {
    SMTP_LISTEN: "127.0.0.1:0",
    HTTP_LISTEN: "127.0.0.1:0",
    ...environment,
  });
  const [line] = await running.until("stderr", /.*Relay started.*\n/);
  return { running, ...portsIn(line, field("smtp"), field("smtps"), field("http")) };
}

/** The port in a field of a log line, text or JSON. */
function field(name: string): RegExp {
  return new RegExp(`\\b${name}(?:=|":")[^\\s"]+:(\\d+)`);
}

/** Starts `sandbox` on free ports, and waits until its welcome message is delivered. */
export async function sandbox(
  program: Program,
  environment: Record<string, string> = {},
): Promise<Relay> {
  const running = run(program, ["sandbox"], {
    SMTP_LISTEN: "127.0.0.1:0",
    SMTPS_LISTEN: "127.0.0.1:0",
    HTTP_LISTEN: "127.0.0.1:0",
    ...environment,
  });
  const [text] = await running.until("stdout", /[^]*Ctrl-C ends the sandbox\.\n/);
  return {
    running,
    ...portsIn(text, /SMTP server +\S+:(\d+)/, /TLS at once +\S+:(\d+)/, /Inbox +http:\S+:(\d+)\//),
  };
}

function portsIn(text: string, smtp: RegExp, smtps: RegExp, http: RegExp) {
  const port = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0);
  return { smtp: port(smtp), smtps: port(smtps), http: port(http) };
}

/** Well-formed ids of no real tenant. */
export const TENANT = "11111111-1111-1111-1111-111111111111";
export const CLIENT = "22222222-2222-2222-2222-222222222222";
export const USERNAME = `${TENANT}@${CLIENT}`;
export const SECRET = "any-secret";
