// No message is acknowledged before it is on stable storage, as the kernel sees it: each sync has
// returned before the line is written. strace(1) shows the calls in the order in which they return.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { absent } from "../../support/tools.ts";
import { directory, writerCommand } from "./support.ts";

/** The calls that matter, in the order in which they returned, as `fdatasync /path` or `write TEXT`. */
function calls(trace: string): string[] {
  const begun = new Map<string, string>();
  const returned: string[] = [];
  for (const line of trace.split("\n")) {
    const [, thread = "", text = ""] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    const unfinished = /^(.*) <unfinished \.\.\.>$/.exec(text);
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    // What the process says it says when it calls, the syncs are done when they return.
    if (unfinished !== null) begun.set(thread, unfinished[1]!);
    const call = resumed !== null ? begun.get(thread) + resumed[1]! : text;
    const write = /^write\(1<[^>]*>, "(.*?)\\n"/.exec(unfinished?.[1] ?? (resumed ? "" : text));
    if (write !== null) returned.push(`write ${write[1]}`);
    if (unfinished !== null) continue;
    const sync = /^(?:fsync|fdatasync)\(\d+<([^>]*)>\)\s*= 0/.exec(call);
    if (sync !== null) returned.push(`sync ${sync[1]}`);
  }
  return returned;
}

describe("a SQLite queue, seen by the kernel,", { skip: absent("strace") }, () => {
  it("acknowledges a message once its row, or its file, the file's name and its row are synced", () => {
    const place = directory();
    try {
      const path = join(place.path, "queue.db");
      const trace = join(place.path, "trace");
      const { status, stderr, error } = spawnSync(
        "strace",
        [
          ...["-f", "-y", "-qq", "-s", "200", "-o", trace, "-e", "trace=write,fsync,fdatasync"],
          ...writerCommand(path, "m", "close8", "1", "1000", "300000"),
        ],
        { encoding: "utf8", env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" } },
      );
      assert.equal(status, 0, error?.message ?? stderr);
      const seen = calls(readFileSync(trace, "utf8"));
      for (let number = 0; number < 8; number++) {
        const before = number === 0 ? "write open" : `write m-${number - 1}`;
        const since = seen.slice(seen.indexOf(before) + 1, seen.indexOf(`write m-${number}`));
        assert(seen.includes(before) && seen.includes(`write m-${number}`), seen.join("\n"));
        const files = number % 2 === 0 ? [] : [join(`${path}.d`, `m-${number}`), `${path}.d`];
        const wanted = [...files, `${path}-wal`].map((file) => `sync ${file}`);
        const found = since.filter((call) => wanted.includes(call));
        assert.deepEqual(found, wanted, `before m-${number}: ${since.join(", ")}`);
      }
    } finally {
      place.remove();
    }
  });
});
