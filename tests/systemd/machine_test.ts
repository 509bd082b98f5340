/** The files and processes of the machine that the relay is installed on. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { machine } from "../../src/systemd/machine.ts";

describe("the machine", () => {
  let folder: string;
  beforeEach(() => folder = mkdtempSync(join(tmpdir(), "relay-machine-")));
  afterEach(() => rmSync(folder, { recursive: true }));

  it("replaces a file as a whole, with the mode given, and leaves nothing else", () => {
    const path = join(folder, "unit");
    writeFileSync(path, "before", { mode: 0o600 });
    machine.write(path, "after", 0o644);
    assert.equal(readFileSync(path, "utf8"), "after");
    assert.equal(statSync(path).mode & 0o777, 0o644);
    machine.copy(path, join(folder, "program"), 0o755);
    assert.equal(statSync(join(folder, "program")).mode & 0o777, 0o755);
    assert.deepEqual(readdirSync(folder).sort(), ["program", "unit"]);
  });

  it("leaves the file and nothing else when it cannot be replaced", () => {
    const path = join(folder, "program");
    writeFileSync(path, "before");
    assert.throws(() => machine.copy(join(folder, "missing"), path, 0o755), { code: "ENOENT" });
    assert.equal(readFileSync(path, "utf8"), "before");
    assert.deepEqual(readdirSync(folder), ["program"]);
  });

  it("knows files of the same content", () => {
    const [one, other] = [join(folder, "one"), join(folder, "other")];
    writeFileSync(one, "text");
    writeFileSync(other, "text");
    assert.equal(machine.sameContent(one, other), true);
    writeFileSync(other, "tent");
    assert.equal(machine.sameContent(one, other), false);
  });

  // proc(5): the link of a program whose file was deleted ends with " (deleted)".
  const skip = !existsSync("/proc/self/exe") && "there is no /proc";
  it("knows the program of a process, but not one whose file was replaced", { skip }, async () => {
    assert.equal(machine.executableOf(String(process.pid)), realpathSync(process.execPath));
    const path = join(folder, "sleep");
    machine.copy(realpathSync("/bin/sleep"), path, 0o755);
    const child = spawn(path, ["60"]);
    await once(child, "spawn");
    try {
      assert.equal(machine.executableOf(String(child.pid)), realpathSync(path));
      rmSync(path);
      assert.equal(machine.executableOf(String(child.pid)), undefined);
    } finally {
      child.kill();
      await once(child, "exit");
    }
  });
});
