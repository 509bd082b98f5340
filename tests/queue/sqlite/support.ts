// Queues in directories of their own, messages for them, and processes that use them.

import { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { absent } from "../../support/tools.ts";
import type { NewMessage, QueueStore, TakenMessage } from "../../../src/queue/store.ts";

export const NOBODY: ReadonlySet<string> = new Set();

/** A content of so many octets that only the message of this id has. */
export function contentFor(id: string, octets: number): Buffer {
  return Buffer.alloc(octets, `${id} `);
}

/** A message; what is not given, is the same for all. */
export function newMessage(
  id: string,
  given: Partial<Omit<NewMessage, "content">> = {},
): NewMessage {
  const sealedSize = given.sealedSize ?? 1000;
  return {
    id,
    receivedAt: 1_000,
    size: sealedSize,
    mailbox: "mailbox",
    account: "account",
    connection: `connection of ${id}`,
    record: Buffer.from(`record of ${id}`),
    sealedSize,
    async *content() {
      const octets = contentFor(id, sealedSize);
      const piece = 256 * 1024;
      for (let at = 0; at < sealedSize; at += piece) yield octets.subarray(at, at + piece);
    },
    ...given,
  };
}

export async function read(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece.slice());
  return Buffer.concat(pieces);
}

/** Takes until nothing is left; all that was taken, in order. */
export async function takeAll(store: QueueStore): Promise<TakenMessage[]> {
  const all: TakenMessage[] = [];
  while (true) {
    const taken = await store.take(10, NOBODY);
    if (taken.length === 0) return all;
    all.push(...taken);
  }
}

export function ids(taken: readonly TakenMessage[]): string[] {
  return taken.map(({ stored }) => stored.id);
}

/** A directory of its own, deleted by `remove`. */
export function directory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "relay-queue-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Why there can be no small disk here; false if there can. */
export const noSmallDisk = process.getuid?.() === 0 ? absent("mount", "umount") : "needs root";

/** A small disk of its own: see {@link noSmallDisk}. */
export function smallDisk(octets: number): {
  readonly path: string;
  remount(options: string): void;
  remove(): void;
} {
  const { path, remove } = directory();
  command("mount", "-t", "tmpfs", "-o", `size=${octets},mode=700`, "tmpfs", path);
  return {
    path,
    remount: (options) => command("mount", "-o", `remount,${options}`, path),
    remove() {
      command("umount", "--lazy", path);
      remove();
    },
  };
}

/** Runs a program to its end. @throws Error unless it ends well */
export function command(name: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(name, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} ${args.join(" ")}: ${error?.message ?? stderr}`);
}

/** The words that start `writer.ts` on this runtime. */
export function writerCommand(...args: readonly string[]): string[] {
  const file = fileURLToPath(new URL("./writer.ts", import.meta.url));
  return "Deno" in globalThis
    ? [process.execPath, "run", "-A", "--no-check", file, ...args]
    : [process.execPath, file, ...args];
}

/** `writer.ts` as a process, with the lines that it has written. */
export class Writer {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly exited: Promise<void>;
  stderr = "";
  #rest = "";
  #changed: (() => void)[] = [];
  #hasExited = false;

  constructor(...args: readonly string[]) {
    const [program, ...words] = writerCommand(...args);
    this.child = spawn(program!, words, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => this.stderr += text);
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop()!;
      this.lines.push(...lines);
      this.#notify();
    });
    this.exited = new Promise((resolve) =>
      this.child.once("close", () => {
        this.#hasExited = true;
        this.#notify();
        resolve();
      })
    );
  }

  /** Waits until it has written so many lines. */
  async untilLines(count: number): Promise<void> {
    while (this.lines.length < count) {
      if (this.#hasExited) {
        throw new Error(`ended after ${this.lines.length} lines: ${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }

  async kill(): Promise<void> {
    process.kill(this.child.pid!, "SIGKILL");
    await this.exited;
  }

  #notify(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}
