/** The fuzzing itself: it finds faults, by coverage too, and is reproducible. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Coverage } from "./engine/coverage.ts";
import { fuzz } from "./engine/fuzz.ts";
import { guided } from "./engine/guided.ts";
import { Random } from "./engine/random.ts";
import { inPieces, Input, type Target } from "./engine/target.ts";

function target(run: Target["run"], seeds: readonly string[] = ["seed"]): Target {
  return { name: "test", run, seeds, words: [] };
}

const BUDGET = { seed: 1, runs: 3000, seconds: 30 };

interface Calls {
  readonly coverageTracker: { incrementCounter(branch: number): void };
  readonly tracer: { traceStrCmp(one: string, other: string, operator: string): boolean };
}

describe("fuzzing", () => {
  it("finds what throws, and shortens it", async () => {
    const { finding } = await fuzz(
      target((octets) => assert.ok(!octets.includes(0xff), "an octet ff")),
      BUDGET,
    );
    assert.ok(finding !== undefined);
    assert.deepEqual([...Buffer.from(finding.input, "base64")], [0xff]);
    assert.match(finding.error, /an octet ff/);
  });

  it("finds what rejects", async () => {
    const { finding } = await fuzz(target(() => Promise.reject(new Error("no"))), BUDGET);
    assert.match(finding!.error, /no/);
  });

  it("makes the same inputs of the same seed, and others of another", async () => {
    const inputs = async (seed: number) => {
      const all: string[] = [];
      const one = target((octets) => void all.push(Buffer.from(octets).toString("hex")));
      await fuzz(one, { ...BUDGET, seed, runs: 200 });
      return all;
    };
    assert.deepEqual(await inputs(1), await inputs(1));
    assert.notDeepEqual(await inputs(1), await inputs(2));
  });

  it("comes by coverage to what chance does not come to", async () => {
    // Each octet is a branch of its own; all three together are one in 16 million.
    const word = "\x91\x82\xf3";
    const instrumented = target((octets) => {
      const { coverageTracker } = (globalThis as unknown as { Fuzzer: Calls }).Fuzzer;
      for (let i = 0; i < word.length; i++) {
        if (octets[i] !== word.charCodeAt(i)) return;
        coverageTracker.incrementCounter(i);
      }
      throw new Error("found");
    });
    const coverage = new Coverage(word.length);
    coverage.listen();
    const budget = { ...BUDGET, runs: 300_000 };
    assert.ok((await fuzz(instrumented, budget, coverage)).finding !== undefined);
    const blind = await fuzz(instrumented, { ...budget, runs: 50_000 });
    assert.equal(blind.finding, undefined);
  });

  it("learns from comparisons what a text is compared with", async () => {
    const instrumented = target((octets) => {
      const { coverageTracker, tracer } = (globalThis as unknown as { Fuzzer: Calls }).Fuzzer;
      coverageTracker.incrementCounter(0);
      const text = Buffer.from(octets).toString("latin1");
      if (tracer.traceStrCmp(text, "quite a long word", "===")) throw new Error("found");
    });
    const coverage = new Coverage(1);
    coverage.listen();
    assert.match((await fuzz(instrumented, BUDGET, coverage)).finding!.error, /found/);
  });
});

describe("a process that fuzzes", () => {
  /** Fuzzes a target whose `run` has this body. */
  async function ofBody(body: string, seconds = 3, grace = 2) {
    const folder = mkdtempSync(join(tmpdir(), "fuzz-"));
    const path = join(folder, "targets.mjs");
    const run = `const kept = []; function run(octets) { ${body} }`;
    const target = '{ name: "x", run, seeds: ["seed"], words: [] }';
    writeFileSync(path, `${run}\nexport const targetOf = () => (${target});\n`);
    try {
      const instrumented = { path, branches: 1, remove: () => {} };
      return await guided(instrumented, "x", { seed: 1, runs: 300, seconds }, grace);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it("is ended when it hangs, and the input is known", async () => {
    const { finding } = await ofBody("if (octets.length > 4) for (;;);", 0.5, 0.5);
    assert.equal(finding?.error, "it hangs");
    assert.ok(Buffer.from(finding.input, "base64").length > 4);
  });

  it("reports an unhandled rejection", async () => {
    const { finding } = await ofBody('if (octets.length > 4) Promise.reject(new Error("alone"));');
    assert.match(finding!.error, /unhandled rejection:[^]*alone/);
  });

  it("reports growing memory", async () => {
    const { growth, finding } = await ofBody("kept.push(Array(2000).fill(octets));");
    assert.equal(finding, undefined);
    assert.ok(growth! > 1_000_000, String(growth));
    const other = await ofBody("Array(2000).fill(octets);");
    assert.ok(other.growth! < 1_000_000, String(other.growth));
  });
});

describe("an input", () => {
  it("gives the first choice and nothing where it has ended", () => {
    const input = new Input(Buffer.from("a\xffb", "latin1"));
    assert.equal(input.until(0xff).toString(), "a");
    assert.equal(input.rest().toString(), "b");
    assert.deepEqual([input.byte(), input.pick(["x", "y"]), input.rest().length], [0, "x", 0]);
  });

  it("is the same in pieces", () => {
    const octets = Buffer.from("0123456789");
    for (const cuts of [[], [1], [3, 1], [100]]) {
      assert.deepEqual(Buffer.concat(inPieces(octets, cuts)), octets);
    }
    assert.deepEqual(inPieces(octets, [4, 1]).map(({ length }) => length), [4, 1, 4, 1]);
  });

  it("of chance is spread evenly enough", () => {
    const random = new Random(7);
    const counts = Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) counts[random.below(10)]!++;
    assert.ok(counts.every((count) => count > 850 && count < 1150), String(counts));
  });
});
