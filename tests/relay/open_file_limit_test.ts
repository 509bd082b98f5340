// The limit of open files against MAX_CONNECTIONS; tests/end_to_end/stop_test.ts has a program under
// such a limit.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openFileLimit, openFileWarning, queueFor } from "../../src/relay/open_file_limit.ts";

const LIMITS = "Limit                     Soft Limit           Hard Limit           Units     \n" +
  "Max processes             96365                96365                processes \n" +
  "Max open files            1024                 524288               files     \n";

describe("the limit of open files", () => {
  it("is the soft one of the process (proc(5)), and none where there is none to read", () => {
    assert.equal(openFileLimit(() => LIMITS), 1024);
    assert.equal(openFileLimit(() => LIMITS.replace("1024  ", "unlimited")), undefined);
    assert.equal(
      openFileLimit(() => {
        throw new Error("ENOENT");
      }),
      undefined,
    );
  });

  it("is warned about below what MAX_CONNECTIONS needs, with what it is enough for", () => {
    assert.equal(openFileWarning(1000, undefined), undefined);
    assert.equal(openFileWarning(1000, 2400), undefined);
    const [message, fields] = openFileWarning(1000, 2399)!;
    assert.match(message, /LimitNOFILE=.*ulimit -n.*MAX_CONNECTIONS/);
    assert.deepEqual(fields, {
      limit: 2399,
      needed: 2400,
      max_connections: 1000,
      enough_for: 999,
    });
    assert.equal(openFileWarning(999, 2399), undefined);
  });

  it("leaves a queue what connections do not need", () => {
    assert.equal(queueFor(1000, 2400), 0);
    assert.equal(queueFor(1000, 1024), 0);
    assert.equal(queueFor(1000, 2500), 100);
    assert.equal(queueFor(1000, 1_048_576), 8192);
    assert.equal(queueFor(1000, undefined), 1024);
  });
});
