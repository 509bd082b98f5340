/** `::` means all addresses, also where there is no IPv6. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { listenDualStack } from "../../src/server/addresses.ts";

/** A machine on which listening fails with this code on IPv6. */
function machine(code: string) {
  const tried: string[] = [];
  const listen = (hostname: string, port: number) => {
    tried.push(hostname);
    if (hostname.includes(":")) throw Object.assign(new Error(code), { code });
    return { hostname, port };
  };
  return { tried, listen };
}

describe("listening on all addresses", () => {
  for (const code of ["EAFNOSUPPORT", "EADDRNOTAVAIL"]) {
    it(`falls back to 0.0.0.0 when IPv6 fails with ${code}`, async () => {
      const { tried, listen } = machine(code);
      const listener = await listenDualStack({ hostname: "::", port: 25 }, listen);
      assert.deepEqual(listener, { hostname: "0.0.0.0", port: 25 });
      assert.deepEqual(tried, ["::", "0.0.0.0"]);
    });
  }

  it("falls back as well when the listener reports the failure later, as HTTP's does", async () => {
    const { listen } = machine("EAFNOSUPPORT");
    const later = async (hostname: string, port: number) => {
      await Promise.resolve();
      return listen(hostname, port);
    };
    assert.equal((await listenDualStack({ hostname: "::", port: 0 }, later)).hostname, "0.0.0.0");
  });

  it("reports other errors, and that a single address does not exist", async () => {
    const busy = machine("EADDRINUSE");
    await assert.rejects(listenDualStack({ hostname: "::", port: 25 }, busy.listen), {
      code: "EADDRINUSE",
    });
    const absent = machine("EADDRNOTAVAIL");
    await assert.rejects(listenDualStack({ hostname: "2001:db8::1", port: 25 }, absent.listen));
    assert.deepEqual([busy.tried, absent.tried], [["::"], ["2001:db8::1"]]);
  });
});
