// A short soak: a cloud that fails at random in every known way, clients that hang up
// at random. The clients' replies, the log and what the cloud has accepted must agree, for
// each message. The long one is `npm run bench -- soak`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { soak } from "../../bench/soak/scenario.ts";
import { PROGRAMS } from "./programs.ts";

for (const program of PROGRAMS) {
  describe(`a soak, on ${program.name}`, () => {
    it("produces three ledgers that agree", async () => {
      const { disagreements, exitStatus, table } = await soak(program, {
        seed: 5,
        messages: 400,
        warmUp: 100,
        clients: 60,
        time: 50_000,
        rest: 0,
      });
      assert.deepEqual(disagreements, []);
      assert.equal(exitStatus, 0);
      // Every kind of outcome must have occurred, else nothing was shown.
      for (const outcome of ["sent", "ambiguous", "deferred", "refused", "repeated"]) {
        const row = table.find(({ what }) => what === `relay: ${outcome}`);
        assert((row?.count ?? 0) > 0, `no message was ${outcome}`);
      }
    });
  });
}
