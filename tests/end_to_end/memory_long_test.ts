// MAX_MEMORY holds for the process, whatever the shape of the mail: as many concurrent messages as it
// admits; shorter than `npm run bench -- memory`.

import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { allowed, fullLoad, peakOf } from "../../bench/memory/scenario.ts";
import { SHIPPED } from "./programs.ts";

const LOADS = [
  fullLoad(64 * 1024 ** 2, 8_000_000, { shape: "binary", way: "sendMail" }),
  fullLoad(64 * 1024 ** 2, 8_000_000, { shape: "lone LFs", way: "upload" }),
];

/**
 * MiB that Deno, from source, has besides: V8 frees strings of base64 only when it collects. The
 * executable keeps the share that `allowed` has.
 */
const LATE_COLLECTION = "Deno" in globalThis ? 48 : 0;

// What is resident is read from /proc.
for (const program of process.platform === "linux" ? [SHIPPED] : []) {
  describe(`the memory of ${program.name}`, () => {
    for (const load of LOADS) {
      it(`is at most MAX_MEMORY plus its base and its working share: ${load.shape}, by ${load.way}`, async () => {
        const peak = await peakOf(program, load);
        assert.deepEqual(peak.report.odd, []);
        assert.equal(peak.report.taken, load.messages);
        assert.ok(peak.atOnce > 1);
        const most = allowed(peak, load) + LATE_COLLECTION;
        assert.ok(peak.peak <= most, `${peak.peak} of ${most} MiB, ${peak.rest} at rest`);
      });
    }
  });
}
