// Runs in the counted program, before it (`bun --preload`). At SIGUSR2 it prints what has been counted so
// far, as one line on stderr: `WORK {"…": 5}`.

import { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";
import process from "node:process";

/** In WORK_PROBE: what is counted. One at a time, as counting copies allocates. */
export type Probe = "modules" | "allocations" | "copies";

type Counts = Record<string, number>;
// deno-lint-ignore no-explicit-any -- any function of the runtime
type Method = (this: any, ...args: any[]) => any;

const PROBES: Record<Probe, () => () => Counts | Promise<Counts>> = {
  modules,
  allocations,
  copies,
};
const probe = process.env["WORK_PROBE"] as Probe | undefined;
if (probe !== undefined) {
  const count = PROBES[probe]();
  process.on("SIGUSR2", async () => {
    process.stderr.write(`WORK ${JSON.stringify(await count())}\n`);
  });
}

/** Modules that have been evaluated, by their paths. */
function modules() {
  // With Bun these are also the ECMAScript modules (https://bun.sh/docs/runtime/modules).
  return () => Object.fromEntries(Object.keys(require.cache).map((path) => [path, 1]));
}

/** Objects by their types, and octets beside the heap. All that were ever made, as nothing is collected. */
function allocations() {
  return async () => {
    // Not a name for the type checker, which is Deno's.
    const jsc = "bun:jsc";
    const { heapStats } = await import(jsc) as {
      heapStats(): { objectTypeCounts: Counts; extraMemorySize: number };
    };
    const { objectTypeCounts, extraMemorySize } = heapStats();
    return { ...objectTypeCounts, "octets beside the heap": extraMemorySize };
  };
}

/** Calls that copy octets, and the octets; octets that are hashed, and timers. */
function copies() {
  const counts = { copies: 0, "octets copied": 0, "octets hashed": 0, timers: 0 };
  const copied = (octets: number) => {
    counts.copies++;
    counts["octets copied"] += octets;
  };
  const wrap = (owner: object, name: string, note: (result: unknown, args: unknown[]) => void) => {
    const methods = owner as Record<string, Method>;
    const method = methods[name]!;
    const wrapped: Method = function (...args) {
      const result = method.apply(this, args);
      note(result, args);
      return result;
    };
    methods[name] = Object.assign(wrapped, method);
  };
  const lengthOf = (value: unknown) => (value as { length?: number }).length ?? 0;
  const byResult = (result: unknown) => copied(lengthOf(result));
  const byNumber = (result: unknown) => copied(result as number);
  const byArgument = (_: unknown, [source]: unknown[]) => copied(lengthOf(source));

  wrap(Buffer, "concat", byResult);
  wrap(Buffer, "copyBytesFrom", byResult);
  wrap(Buffer, "from", (result, [source]) => {
    // Of an ArrayBuffer it is a view.
    if (!(source instanceof ArrayBuffer)) byResult(result);
  });
  for (const name of ["copy", "write", "latin1Write", "utf8Write", "asciiWrite", "base64Write"]) {
    wrap(Buffer.prototype, name, byNumber);
  }
  for (const name of ["toString", "latin1Slice", "utf8Slice", "asciiSlice", "base64Slice"]) {
    wrap(Buffer.prototype, name, byResult);
  }
  wrap(Uint8Array.prototype, "set", byArgument);
  wrap(Uint8Array.prototype, "slice", byResult);
  wrap(ArrayBuffer.prototype, "slice", (result) => copied((result as ArrayBuffer).byteLength));
  wrap(TextDecoder.prototype, "decode", byResult);
  wrap(TextEncoder.prototype, "encode", byResult);
  wrap(
    TextEncoder.prototype,
    "encodeInto",
    (result) => copied((result as { written: number }).written),
  );
  for (const hash of [createHash("sha256"), createHmac("sha256", "")]) {
    wrap(
      Object.getPrototypeOf(hash),
      "update",
      (_, [source]) => counts["octets hashed"] += lengthOf(source),
    );
  }
  for (const name of ["setTimeout", "setInterval"]) {
    wrap(globalThis, name, () => counts.timers++);
  }
  return () => counts;
}
