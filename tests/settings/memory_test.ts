/** The default of MAX_MEMORY: the smaller of 256 MiB and half the control group's limit. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadSettings } from "../../src/settings/load.ts";
import { standardMemory } from "../../src/settings/memory.ts";

const MIB = 1024 ** 2;
const OWN = "/proc/self/cgroup";

/** A machine that has these files and no others. */
function machine(files: Record<string, string>): number {
  return standardMemory((path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT ${path}`);
    return text;
  });
}

describe("the default of MAX_MEMORY", () => {
  it("is 256 MiB without a control group, or without a limit", () => {
    assert.equal(machine({}), 256 * MIB);
    assert.equal(machine({ "/sys/fs/cgroup/memory.max": "max\n" }), 256 * MIB);
    // Version 1 writes "no limit" as the largest page-aligned number.
    const none = { "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n" };
    assert.equal(machine(none), 256 * MIB);
  });

  it("is half of a container's limit: 128 MiB in a pod of 256Mi", () => {
    const limit = `${256 * MIB}\n`;
    assert.equal(machine({ "/sys/fs/cgroup/memory.max": limit }), 128 * MIB);
    assert.equal(machine({ "/sys/fs/cgroup/memory/memory.limit_in_bytes": limit }), 128 * MIB);
  });

  it("is 256 MiB where half of the limit is more", () => {
    assert.equal(machine({ "/sys/fs/cgroup/memory.max": `${4096 * MIB}` }), 256 * MIB);
  });

  it("follows a service's own group (MemoryMax=), and the lowest above it", () => {
    const group = "/sys/fs/cgroup/system.slice/smtp-oauth-relay.service/memory.max";
    const files = { [OWN]: "0::/system.slice/smtp-oauth-relay.service\n", [group]: `${200 * MIB}` };
    assert.equal(machine(files), 100 * MIB);
    const slice = { "/sys/fs/cgroup/system.slice/memory.max": `${100 * MIB}` };
    assert.equal(machine({ ...files, ...slice }), 50 * MIB);
  });

  it("follows its own group and those above it in version 1, too", () => {
    const group = "/sys/fs/cgroup/memory/relay/inner/memory.limit_in_bytes";
    const files = {
      [OWN]: "5:cpu,memory:/relay/inner\n4:devices:/elsewhere\n0::/\n",
      [group]: `${200 * MIB}\n`,
    };
    assert.equal(machine(files), 100 * MIB);
    const above = { "/sys/fs/cgroup/memory/relay/memory.limit_in_bytes": `${80 * MIB}\n` };
    assert.equal(machine({ ...files, ...above }), 40 * MIB);
  });

  it("is never less than 16 MiB, and a text that is no number counts for nothing", () => {
    assert.equal(machine({ "/sys/fs/cgroup/memory.max": `${4 * MIB}` }), 16 * MIB);
    assert.equal(machine({ "/sys/fs/cgroup/memory.max": "lots" }), 256 * MIB);
  });

  it("is what this machine's files say, unless it is set", () => {
    const memory = (environment: Record<string, string>) => {
      const loaded = loadSettings(environment);
      assert(loaded.type === "settings");
      return loaded.settings.MAX_MEMORY;
    };
    assert.equal(memory({}), standardMemory());
    assert.equal(memory({ MAX_MEMORY: "64m" }), 64 * MIB);
  });
});
