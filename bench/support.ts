// What the benches share.

import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** The compiled program. @throws Error when it has not been built */
export function executable(): string {
  const path = `${root}dist/smtp-oauth-relay`;
  if (!existsSync(path)) throw new Error("build the executable first: npm run build");
  return path;
}

/** The first line that a process prints. */
export function firstLine(child: ChildProcess, stream: Readable = child.stdout!): Promise<string> {
  return new Promise((resolve, reject) => {
    createInterface(stream).once("line", resolve);
    child.once("exit", (code) => reject(new Error(`${child.spawnfile} ended with ${code}`)));
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
