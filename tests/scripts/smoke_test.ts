/** `scripts/smoke.mjs`, which the pipeline runs on each system, with the executable that was built here. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const EXECUTABLE = join(ROOT, "dist/smtp-oauth-relay");

describe("scripts/smoke.mjs", () => {
  let folder: string;
  before(() => {
    assert.ok(existsSync(EXECUTABLE), "build it first (npm run build)");
    folder = mkdtempSync(join(tmpdir(), "relay-smoke-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  function smoke(...args: string[]) {
    const { status, stdout, stderr } = spawnSync(
      "node",
      [join(ROOT, "scripts/smoke.mjs"), ...args],
      {
        encoding: "utf8",
        cwd: folder,
        timeout: 50_000,
      },
    );
    return { status, stdout, stderr };
  }

  /** The executable with something in front of it: lines of sh. */
  function broken(lines: string): string {
    const path = join(folder, "broken");
    writeFileSync(path, `#!/bin/sh\n${lines}\nexec ${EXECUTABLE} "$@"\n`, { mode: 0o755 });
    return path;
  }

  it("sends a message through the executable", () => {
    const { status, stdout, stderr } = smoke(EXECUTABLE);
    assert.equal(stderr, "");
    assert.match(stdout, /^ok smoke: smtp-oauth-relay \d+\.\d+\.\d+.* on Bun [\d.]+\n$/);
    assert.equal(status, 0);
  });

  for (
    const [what, lines, problem] of [
      [
        "is another version",
        'if [ "$1" = version ]; then echo "smtp-oauth-relay 99.0.0 (x)"; exit; fi',
        /version says "smtp-oauth-relay 99\.0\.0 \(x\)", and package\.json/,
      ],
      [
        "does not start",
        'if [ "$1" = sandbox ]; then echo "a port is in use" >&2; exit 69; fi',
        /the sandbox ended with 69: a port is in use/,
      ],
      [
        "refuses the message",
        'if [ "$1" = sandbox ]; then export ALLOWED_SENDERS=sandbox@example.com; fi',
        /"\.?[^"]*" is answered "5\d\d /,
      ],
      [
        "is not healthy",
        'if [ "$1" = healthcheck ]; then echo "not ready" >&2; exit 1; fi',
        /healthcheck: not ready/,
      ],
    ] as const
  ) {
    it(`fails if the executable ${what}`, () => {
      const { status, stdout, stderr } = smoke(broken(lines));
      assert.match(stderr, problem);
      assert.equal(stdout, "");
      assert.equal(status, 1);
    });
  }

  it("fails without an executable, or for wrong arguments", () => {
    const { status, stderr } = smoke(join(folder, "nothing"));
    assert.match(stderr, /^FAIL smoke: version: .*ENOENT/);
    assert.equal(status, 1);
    assert.deepEqual([smoke().status, smoke("a", "b").status], [2, 2]);
  });
});
