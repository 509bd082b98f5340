// Far more slow clients than MAX_CONNECTIONS, of every kind, and an honest one among them: it never
// fails, whether it has its own address or shares theirs. The long one, with 5,000 and the
// default limits, is `npm run bench -- slow`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { failuresOf, slowClients } from "../../bench/slow/scenario.ts";
import { PROGRAMS } from "./programs.ts";

const CLIENTS = 600;
const CONNECTIONS = 300;
/** Three in which they connect, and some in which they reconnect, each after a second. */
const SECONDS = 8;
const LEAVING = 256;
const OTHER_FILES = 50;

for (const program of PROGRAMS) {
  describe(`slow clients, on ${program.name}`, () => {
    for (const oneAddress of [false, true]) {
      it(`do not keep out an honest one ${oneAddress ? "at their address" : "elsewhere"}`, async () => {
        const result = await slowClients(program, {
          clients: CLIENTS,
          content: 60,
          seconds: SECONDS,
          oneAddress,
          environment: { MAX_CONNECTIONS: String(CONNECTIONS) },
        });
        assert.deepEqual(failuresOf(result), []);
        assert.deepEqual(result.errors, []);
        const { metrics, slow } = result;
        // Including those in the queue, and those that have their last reply and have not closed yet.
        assert(result.relay.mostFiles < CLIENTS + LEAVING + OTHER_FILES);
        assert(metrics.get('limit_hits_total{setting="MAX_CONNECTIONS"}')! > 0);
        // Each kind was present, and unauthenticated ones were closed for others.
        for (const kind of ["silent", "command", "handshake", "half hello"]) {
          assert(slow.kinds[kind]!.closed > 0, `no ${kind} client was closed`);
        }
        assert(slow.kinds["content"]!.connected > 0);
      });
    }
  });
}
