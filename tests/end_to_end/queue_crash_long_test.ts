// A relay with a durable queue that is killed again and again under load. The clients' replies, the relays'
// logs and what Graph has accepted must agree, for each message. The long one is
// `npm run bench -- queue-crash`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crash } from "../../bench/queue_crash/scenario.ts";
import { PROGRAMS } from "./programs.ts";

for (const program of PROGRAMS) {
  describe(`a queue whose relay is killed, on ${program.name}`, () => {
    for (const store of ["sqlite", "azure-storage"] as const) {
      it(`in ${store} sends all that was acknowledged, and twice only for a kill`, async () => {
        const { disagreements, figures } = await crash(program, {
          seed: 7,
          store,
          kills: store === "sqlite" ? 12 : 8,
          clients: 12,
          life: 1200,
        });
        assert.deepEqual(disagreements, []);
        // Else nothing was shown.
        assert(figures.acknowledged > 20, JSON.stringify(figures));
        assert(figures.duplicates > 0, JSON.stringify(figures));
      });
    }
  });
}
