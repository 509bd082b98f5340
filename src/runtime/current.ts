// Chooses the implementation for the runtime that this process runs on.

import type { Runtime } from "./runtime.ts";

export async function currentRuntime(): Promise<Runtime> {
  return "Bun" in globalThis
    ? (await import("./bun.ts")).bunRuntime
    : (await import("./deno.ts")).denoRuntime;
}
