// Relays that share a queue in a storage account, one of which is killed: the others send its messages too,
// and none twice but for the kill. The long one, where leases take their time, is
// `npm run bench -- queue-crash`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { killOneOf } from "../../bench/queue_crash/several.ts";
import { PROGRAMS } from "./programs.ts";

for (const program of PROGRAMS) {
  describe(`relays that share a queue, on ${program.name},`, () => {
    for (const relays of [2, 4]) {
      it(`lose nothing when one of ${relays} is killed, and do nothing twice but for that`, async () => {
        const { disagreements, figures, shares, takenOver } = await killOneOf(program, {
          seed: 11,
          relays,
          clients: 12,
          messages: 80,
          waits: false,
        });
        assert.deepEqual(disagreements, []);
        // Else nothing was shown.
        assert(figures.acknowledged >= 120, JSON.stringify(figures));
        assert(shares.every((share) => share > 0), shares.join());
        assert(takenOver.length > 0);
      });
    }
  });
}
