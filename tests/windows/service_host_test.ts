/** What the relay and the host of its Windows service say to each other: deploy/windows/service_host.c. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { ServiceManager } from "../../src/systemd/manager.ts";
import { serviceHost } from "../../src/windows/service_host.ts";

const STATE = {
  ...{ listening: ["[::]:25"], connections: 0 },
  ...{ sent: 0, refused: 0, deferred: 0, ambiguous: 0 },
};

async function hosted() {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const environment = { NOTIFY_SOCKET: "-", WATCHDOG_USEC: "60000000" };
  const load = () => Promise.resolve(serviceHost(input, output));
  const manager = await ServiceManager.of(environment, 1, load);
  return { input, output, manager, environment };
}

describe("the host of the Windows service", () => {
  it("hears in lines that the relay is ready, alive, stops and has stopped", async () => {
    const { output, manager, environment } = await hosted();
    manager.ready(() => STATE);
    manager.stopping();
    manager.ended();
    output.end();
    const lines = (await output.toArray()).join("").trimEnd().split("\n");
    assert.deepEqual(lines.map((line) => line.split("=")[0]), [
      ...["READY", "STATUS", "WATCHDOG", "STOPPING", "EXTEND_TIMEOUT_USEC", "STATUS", "STATUS"],
    ]);
    assert.equal(lines[0], "READY=1");
    assert.deepEqual(environment, {});
  });

  it("asks for a stop by closing the pipe, and not before", async () => {
    const { input, manager } = await hosted();
    let stopped = false;
    const stop = manager.requests!.stop.then(() => stopped = true);
    input.write("reload\n");
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(stopped, false);
    input.end();
    assert.equal(await stop, true);
  });

  it("asks for a reload in a line, even if that comes in pieces", async () => {
    const { input, manager } = await hosted();
    let reloads = 0;
    manager.requests!.onReload(() => reloads++);
    for (const piece of ["rel", "oad\r", "\nreload\nno such request\nreloa"]) input.write(piece);
    input.end();
    await once(input, "end");
    assert.equal(reloads, 2);
  });

  it("may end without ending the relay's output by an error", async () => {
    const { output, manager } = await hosted();
    output.destroy(new Error("EPIPE"));
    await new Promise((resolve) => output.on("close", resolve));
    manager.ready(() => STATE);
    manager.ended();
  });
});
