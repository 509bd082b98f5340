// Authenticated clients that take all connections or all memory do not keep out an honest one of another
// account. The long one, with 1,000 of them and the default limits, is `npm run bench -- shares`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { failuresOf, GREEDS, shares } from "../../bench/shares/scenario.ts";
import { PROGRAMS } from "./programs.ts";

const CONNECTIONS = 60;
/** As many as are needed to fill MAX_MEMORY. */
const MEMORY = 30;

for (const program of PROGRAMS) {
  describe(`greedy clients, on ${program.name}`, () => {
    GREEDS.forEach((greed, i) => {
      // Each way with half of the greedy behaviours: the bench has all of them.
      const sameAddress = i % 2 === 0;
      const known = i % 3 === 0;
      const where = sameAddress ? "of their address" : "elsewhere";
      it(`of which each ${greed}, do not delay an honest one ${where} by more than two seconds`, async () => {
        const takesMemory = greed === "announces" || greed === "drips";
        const result = await shares(program, {
          greed,
          clients: takesMemory ? MEMORY : CONNECTIONS,
          seconds: 3,
          sameAddress,
          known,
          environment: takesMemory ? {} : { MAX_CONNECTIONS: String(CONNECTIONS) },
        });
        assert.deepEqual(failuresOf(result), []);
        assert(Math.max(...result.health) < 2_000);
        assert(result.greedy.loggedIn >= (takesMemory ? 1 : CONNECTIONS));
      });
    });
  });
}
