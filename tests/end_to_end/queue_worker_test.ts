// A relay whose queue's worker has died cannot store anything any more: it ends with 69, so that its service
// manager starts it again. The worker is a copy that dies when it is told to.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, it } from "node:test";
import { type Program, root } from "./programs.ts";
import { QueueWorld, send, untilIs } from "./queue_world.ts";

/** How long the copy waits for its end: a file says when. */
const DYING = `
import { existsSync } from "node:fs";
import { workerData } from "node:worker_threads";
setInterval(() => {
  if (existsSync(workerData + ".die")) throw new Error("out of luck");
}, 10);
`;

describe("a relay whose queue's worker dies", () => {
  const directory = mkdtempSync(join(tmpdir(), "relay-worker-"));
  after(() => rmSync(directory, { recursive: true }));

  it("stops with 69 and says why; the next one has all mail", async () => {
    for (const name of ["src", "package.json", "deno.json"]) {
      cpSync(join(root, name), join(directory, name), { recursive: true });
    }
    symlinkSync(realpathSync(join(root, "node_modules")), join(directory, "node_modules"));
    const sqlite = join(directory, "src", "queue", "sqlite");
    cpSync(join(sqlite, "worker.ts"), join(sqlite, "real_worker.ts"));
    writeFileSync(join(sqlite, "worker.ts"), `import "./real_worker.ts";\n${DYING}`);
    const main = join(directory, "src", "main.ts");
    const program: Program = "Deno" in globalThis
      ? { name: "Deno", command: [process.execPath, "run", "-A", "--no-check", main] }
      : { name: "Bun", command: [process.execPath, main] };
    const world = await QueueWorld.open(program);
    try {
      world.holdGraph();
      const relay = await world.start();
      const client = await world.logIn(relay);
      assert.match(await send(client, "kept"), /^250/);
      const database = world.environment["QUEUE_URL"]!.slice("sqlite:".length);
      writeFileSync(`${database}.die`, "");
      assert.equal(await relay.running.exited, 69);
      assert.match(relay.running.stderr, /CRITICAL The queue's store has ended.*out of luck/);
      rmSync(`${database}.die`);
      world.freeGraph();
      await world.start();
      await untilIs(() => world.arrived, (arrived) => arrived.includes("kept"));
    } finally {
      await world.close();
    }
  });
});
