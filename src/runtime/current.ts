// Chooses the implementation for the runtime that this process runs on.

import process from "node:process";
import type { ServeHttp } from "./http_server.ts";
import type { Runtime } from "./runtime.ts";

declare const Bun: { readonly main: string };

export async function currentRuntime(): Promise<Runtime> {
  return "Bun" in globalThis
    ? (await import("./bun.ts")).bunRuntime
    : (await import("./deno.ts")).denoRuntime;
}

/** The runtime's own HTTP server, where it costs less than that of `node:http`; undefined elsewhere. */
export async function nativeHttpServer(): Promise<ServeHttp | undefined> {
  return "Bun" in globalThis ? (await import("./bun_http.ts")).serveByBun : undefined;
}

/** Takes the lengths of pages that become garbage; undefined where the runtime notices by itself. */
export async function pageGarbage(): Promise<((characters: number) => void) | undefined> {
  return "Bun" in globalThis ? (await import("./bun_memory.ts")).pageGarbage : undefined;
}

/** The path of the compiled executable; undefined in a run from source. */
export function ownExecutable(): string | undefined {
  if (!("Bun" in globalThis)) return undefined;
  // Files inside the executable have paths of this form (https://bun.sh/docs/bundler/executables).
  return /^(?:\/\$bunfs\/|[A-Z]:[\\/]~BUN[\\/])/i.test(Bun.main) ? process.execPath : undefined;
}
