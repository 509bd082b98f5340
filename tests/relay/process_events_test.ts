/**
 * Which signals stop the program. Ctrl-Break is one of them on Windows alone; there is no Windows
 * here, so the platform is pretended, and the signal is an event like any other.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";

const WATCHED = ["SIGTERM", "SIGINT", "SIGBREAK"] as const;

/** The signals that stopSignal() listens to on a platform. */
async function signalsOn(platform: string): Promise<string[]> {
  const listened: string[] = [];
  const original = { platform: process.platform, on: process.on };
  Object.defineProperty(process, "platform", { value: platform, configurable: true });
  process.on = ((name: string) => {
    listened.push(name);
    return process;
  }) as typeof process.on;
  try {
    const { stopSignal } = await import(`../../src/relay/process_events.ts?${platform}`);
    void stopSignal();
  } finally {
    process.on = original.on;
    Object.defineProperty(process, "platform", { value: original.platform, configurable: true });
  }
  return listened;
}

describe("a stop", () => {
  it("is asked for by SIGTERM and SIGINT, and by Ctrl-Break on Windows", async () => {
    assert.deepEqual(await signalsOn("win32"), [...WATCHED]);
  });

  it("is not asked for by a signal that others do not know", async () => {
    assert.deepEqual(await signalsOn("linux"), WATCHED.filter((name) => name !== "SIGBREAK"));
  });
});
