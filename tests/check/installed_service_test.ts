// Ports, tried by root for a service that is not.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkPorts, type PortTools } from "../../src/check/ports_check.ts";
import { asUser } from "../../src/check/installed_service.ts";

describe("the ports of a service without CAP_NET_BIND_SERVICE", () => {
  const tools: PortTools = {
    listen: () => ({ close() {} }),
    http: undefined,
    get: () => Promise.reject(new Error("nobody is asked")),
  };
  const codes = async (port: number, first: number) => {
    const address = { hostname: "127.0.0.1", port };
    const found = await checkPorts([{ setting: "SMTP_LISTEN", address }], asUser(tools, first));
    return found.map(({ code }) => code);
  };

  it("are privileged below the first one that is not (ip(7)), whoever asks", async () => {
    assert.deepEqual(await codes(25, 1024), ["ports.privileged"]);
    assert.deepEqual(await codes(8025, 1024), ["ports.free"]);
    // As in containers.
    assert.deepEqual(await codes(25, 0), ["ports.free"]);
    assert.deepEqual(await codes(0, 1024), ["ports.free"]);
  });
});
