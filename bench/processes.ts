// Shared by the attacks: scripts in processes of their own, and the resources that the relay's process
// uses meanwhile. The relay is a process on the loopback too, and uses no real cloud.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { selfSignedCertificate } from "../src/certificates/self_signed.ts";
import { executable, median, root } from "./support.ts";
import type { Program } from "../tests/end_to_end/programs.ts";

/** The executable that the benches attack by default. */
export const theExecutable = (): Program => ({ name: "the executable", command: [executable()] });

/** A script of the benches in a process of its own: it takes an object, and prints lines. */
export class Script {
  readonly child: ChildProcess;
  readonly #lines: Interface;
  readonly #waiting: string[] = [];
  readonly #exited: Promise<number | null>;
  #wake: (() => void) | undefined;
  #ended = false;

  /** Always on Bun: the load generator must cost less than what it measures. */
  constructor(path: string, options: object) {
    this.child = spawn(`${root}node_modules/.bin/bun`, [path, JSON.stringify(options)], {
      cwd: root,
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = createInterface(this.child.stdout!);
    this.#lines.on("line", (line) => {
      this.#waiting.push(line);
      this.#wake?.();
    });
    this.#exited = new Promise((resolve) =>
      this.child.once("close", (code) => {
        this.#ended = true;
        this.#wake?.();
        resolve(code);
      })
    );
  }

  /** @throws Error if the process has ended without another line */
  async line(): Promise<string> {
    for (;;) {
      const line = this.#waiting.shift();
      if (line !== undefined) return line;
      if (this.#ended) throw new Error(`${this.child.spawnargs[1]} ended`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async object<T>(): Promise<T> {
    return JSON.parse(await this.line()) as T;
  }

  /** Writes a word to its standard input. */
  tell(word: string): void {
    this.child.stdin!.write(word + "\n");
  }

  async end(): Promise<void> {
    if (!this.#ended) this.child.kill("SIGKILL");
    await this.#exited;
  }
}

/** A self-made certificate in files, as settings. */
export async function certificateFiles(): Promise<
  {
    readonly directory: string;
    readonly settings: Record<string, string>;
    remove(): void;
  }
> {
  const directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  const { certificate, privateKey } = await selfSignedCertificate();
  const settings = {
    TLS_CERT_FILEPATH: join(directory, "cert.pem"),
    TLS_KEY_FILEPATH: join(directory, "key.pem"),
  };
  writeFileSync(settings.TLS_CERT_FILEPATH, certificate);
  writeFileSync(settings.TLS_KEY_FILEPATH, privateKey);
  return { directory, settings, remove: () => rmSync(directory, { recursive: true }) };
}

/** The resources of a process, from proc(5). */
export interface Usage {
  /** MB */
  readonly resident: number;
  readonly files: number;
  /** Seconds of CPU since it began. */
  readonly cpu: number;
}

/** @throws Error if the process has ended */
export function usageOf(pid: number): Usage {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
  return {
    resident: Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024 / 1e6,
    files: readdirSync(`/proc/${pid}/fd`).length,
    cpu: (Number(fields[11]) + Number(fields[12])) / 100,
  };
}

/** The memory of a process in MiB, from proc_pid_status(5). */
export interface Memory {
  readonly resident: number;
  /** What of it belongs to no file. */
  readonly anonymous: number;
  /** The most that was resident since the mark was set back (proc_pid_clear_refs(5)). */
  readonly peak: number;
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)![1]) / 1024;
  return { resident: field("VmRSS"), anonymous: field("RssAnon"), peak: field("VmHWM") };
}

/** Samples a process once a second. */
export class Watch {
  readonly samples: Usage[] = [];
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
    this.#look();
    this.#timer = setInterval(() => this.#look(), 1000);
  }

  #look(): void {
    try {
      this.samples.push(usageOf(this.#pid));
    } catch {
      // It has ended, which is reported where its end is awaited.
      clearInterval(this.#timer);
    }
  }

  end(): Watched {
    clearInterval(this.#timer);
    this.#look();
    const resident = this.samples.map((sample) => sample.resident);
    const half = resident.length >> 1;
    return {
      first: resident[0]!,
      last: resident.at(-1)!,
      peak: Math.max(...resident),
      firstHalf: median(resident.slice(0, half + 1)),
      secondHalf: median(resident.slice(half)),
      mostFiles: Math.max(...this.samples.map(({ files }) => files)),
      cpu: this.samples.at(-1)!.cpu - this.samples[0]!.cpu,
    };
  }
}

/** Memory in MB. */
export interface Watched {
  readonly first: number;
  readonly last: number;
  readonly peak: number;
  /** Medians. */
  readonly firstHalf: number;
  readonly secondHalf: number;
  /** Open files at most. */
  readonly mostFiles: number;
  /** Seconds. */
  readonly cpu: number;
}

/** The relay's counters and gauges, by their names without the program's prefix. */
export async function metricsOf(port: number): Promise<ReadonlyMap<string, number>> {
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = page.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice("smtp_oauth_relay_".length, space), Number(line.slice(space + 1))];
  }));
}

/** The percentile of the values. */
export function percentile(values: readonly number[], hundredths: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * hundredths / 100))] ?? NaN;
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}
