// The work that a message and a start cost, counted and not timed, so that a busy machine changes nothing:
// system calls, objects, octets copied, timers, modules. figures.json has what it was; a change by more than
// a tenth fails, in either direction, until it is stored there on purpose (see figures.ts).

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { type Program, root, SHIPPED, SOURCE } from "../end_to_end/programs.ts";
import { assertAsRecorded, type Figures, rounded } from "./figures.ts";
import type { Probe } from "./probe.ts";
import { CONNECTIONS, SteadyWorld } from "./steady.ts";

/** Messages on each connection before the counted ones: the connections to the cloud are there after them. */
const BEFORE = 10;
/** Messages on each connection that are counted. */
const COUNTED = 50;

/** Octets of a package in the executable, from which it is named. */
const LARGE = 20_000;

/**
 * Calls that depend on time and on the machine, not on the work: how threads wait for each other, how many
 * events a wait returns at once, and memory that collectors and compilers ask for when they find time.
 */
const TIMING =
  /^(futex|sched_\w+|epoll_p?wait2?|poll|ppoll|(clock_)?nanosleep|restart_syscall|madvise|mmap|munmap|mprotect|mremap|brk|rt_sig\w+|getpid|gettid|tgkill|clone3?|exit|rseq|set_robust_list|prctl|sigaltstack)$/;
const READS = ["read", "readv", "pread64", "recvfrom", "recvmsg"];
const SENDS = ["sendto", "sendmsg", "writev"];
const WRITES = ["write", "pwrite64"];

function kindOf(call: string): "reads" | "sends" | "writes" | "others" {
  if (READS.includes(call)) return "reads";
  if (SENDS.includes(call)) return "sends";
  return WRITES.includes(call) ? "writes" : "others";
}

const absent = spawnSync("strace", ["-c", "true"]).status === 0
  ? false
  : "strace is not installed, or may not trace here";

describe(`system calls per message, on ${SHIPPED.name}`, { skip: absent }, () => {
  it("are as recorded", async () => {
    const perMessage = { reads: 0, sends: 0, writes: 0, others: 0 };
    for (const call of await systemCalls()) {
      if (!TIMING.test(call)) perMessage[kindOf(call)] += 1 / (CONNECTIONS * COUNTED);
    }
    // Lines of the log are written together, threads wake each other by writes, and a collector reads
    // /proc/self/statm now and then: a busy machine changes how often, but it is never once a message.
    const seldom = ["writes", "others"];
    assertAsRecorded(
      `system calls per message, on ${SHIPPED.name}`,
      roundedAll(perMessage),
      (name) => seldom.includes(name) ? 0.75 : 0,
    );
  });

  /** The names of all calls, in their order. */
  async function systemCalls(): Promise<string[]> {
    const directory = mkdtempSync(join(tmpdir(), "relay-calls-"));
    try {
      const file = join(directory, "calls");
      // Each line is in the file before the call's thread goes on.
      const strace = ["strace", "-D", "-f", "-qq", "-s", "0", "-o", file];
      const command = [...strace, ...SHIPPED.command];
      const world = await SteadyWorld.open({ ...SHIPPED, command });
      try {
        await world.logIn();
        await world.send(BEFORE);
        const before = statSync(file).size;
        await world.send(COUNTED);
        const counted = readFileSync(file).subarray(before).toString("latin1");
        return [...counted.matchAll(/^\d+ +(\w+)\(/gm)].map(([, name]) => name!);
      } finally {
        await world.close();
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
});

// What is in a process can be counted with Bun alone; the executable is made of the same modules.
if (!("Deno" in globalThis)) {
  const [command, main] = SOURCE.command as [string, string];
  const probed: Program = {
    name: "Bun",
    command: [command, "--preload", join(root, "tests/work/probe.ts"), main],
  };
  const open = (probe: Probe) =>
    SteadyWorld.open(probed, {
      WORK_PROBE: probe,
      // Nothing is collected, and nothing is optimized away once it has run often enough.
      BUN_JSC_useGC: "0",
      BUN_JSC_useJIT: "0",
    });

  describe("per message", () => {
    async function perMessage(probe: Probe): Promise<Figures> {
      const world = await open(probe);
      try {
        await world.logIn();
        await world.send(BEFORE);
        const before = await counted(world);
        await world.send(COUNTED);
        const after = await counted(world);
        return Object.fromEntries(
          Object.entries(after).map(([name, count]) => [
            name,
            (count - (before[name] ?? 0)) / (CONNECTIONS * COUNTED),
          ]),
        );
      } finally {
        await world.close();
      }
    }

    it("as many objects are made as recorded", async () => {
      const { "octets beside the heap": octets = 0, ...all } = await perMessage("allocations");
      // Half a second after its start the process drops compiled code, perhaps while this is counted.
      const objects = Object.fromEntries(
        Object.entries(all).filter(([name]) => !/CodeBlock$|Executable$|^SymbolTable$/.test(name)),
      );
      const often = Object.entries(objects).filter(([, count]) => count >= 1);
      assertAsRecorded(
        "allocations per message",
        roundedAll({
          ...Object.fromEntries(often),
          "all objects": Object.values(objects).reduce((a, b) => a + b),
          "octets beside the heap": octets,
        }),
        () => 1,
      );
    });

    it("as many octets are copied as recorded, and timers set", async () => {
      assertAsRecorded("copies per message", roundedAll(await perMessage("copies")), () => 0.5);
    });
  });

  describe("the start", () => {
    it("evaluates as many modules as recorded", async () => {
      const world = await open("modules");
      const paths = Object.keys(await counted(world).finally(() => world.close()))
        .filter((path) => path.startsWith(root)).map((path) => path.slice(root.length))
        .filter((path) => !path.startsWith("tests/"));
      const places = Map.groupBy(paths, placeOf);
      const numbers = [...places].map(([place, { length }]) => [place, length] as const);
      assertAsRecorded(
        "modules evaluated at the start",
        {
          ...Object.fromEntries(numbers.toSorted(([a], [b]) => a < b ? -1 : 1)),
          all: paths.length,
        },
        // Small folders of our own come and go; a package does not unnoticed.
        (place) => place.startsWith("src") ? 2 : 0,
      );
    });
  });

  describe("the program's JavaScript", () => {
    it("has as many octets and modules as recorded", async () => {
      const { bundle } = await import("../../scripts/build/bundle.ts");
      const { text, files } = await bundle(root);
      const places = new Map<string, number>();
      for (const [file, octets] of files) {
        const place = file.startsWith("src/") ? "our own" : placeOf(file);
        places.set(place, (places.get(place) ?? 0) + octets);
      }
      const large = [...places].filter(([, octets]) => octets >= LARGE);
      assertAsRecorded(
        "JavaScript of the executable",
        {
          ...Object.fromEntries(large.toSorted(([, a], [, b]) => b - a)),
          "all octets": text.length,
          "all modules": files.size,
        },
        (place) => place.startsWith("all ") ? 0 : LARGE,
      );
    });
  });
}

/** What a probe has counted in its process so far. */
async function counted({ relay }: SteadyWorld): Promise<Figures> {
  const { running } = relay;
  running.stderr = "";
  process.kill(running.child.pid!, "SIGUSR2");
  const [, counts = ""] = await running.until("stderr", /^WORK (.*)\n/m);
  return JSON.parse(counts) as Figures;
}

/** A package, or a folder of our own. */
function placeOf(path: string): string {
  return /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? path.replace(/\/[^/]*$/, "");
}

function roundedAll(figures: Figures): Figures {
  return Object.fromEntries(
    Object.entries(figures).map(([name, figure]) => [name, rounded(figure)]),
  );
}
