/** Lines for a reader that may be slow, or gone: nothing waits for it, and what is lost is counted. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { LineWriter } from "../../src/observe/line_writer.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A reader that takes what is written when the test says so. */
function open(capacity?: number, interval?: number) {
  const clock = new FakeClock();
  clock.patient = true;
  const taken: string[] = [];
  const asked: { octets: Uint8Array; settle: (written: number | Error) => void }[] = [];
  const counted = { dropped: 0 };
  const writer: LineWriter = new LineWriter({
    write: (octets) =>
      new Promise((resolve, reject) => {
        const settle = (written: number | Error) => {
          if (typeof written !== "number") return reject(written);
          taken.push(Buffer.from(octets.subarray(0, written)).toString("utf8"));
          resolve(written);
        };
        asked.push({ octets, settle });
      }),
    ...(capacity === undefined ? {} : { capacity }),
    ...(interval === undefined ? {} : { interval, clock }),
    dropped: () => void counted.dropped++,
    resumed: (lines) => writer.write(`${lines} lost\n`),
  });
  /** Takes what is being written, or as much of it. */
  const take = async (octets?: number) => {
    const { octets: all, settle } = asked.shift()!;
    settle(octets ?? all.length);
    await settled();
  };
  const fail = async (code: string) => {
    asked.shift()!.settle(Object.assign(new Error(code), { code }));
    await settled();
  };
  return { writer, clock, take, fail, asked, counted, taken: () => taken.join("") };
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe("a line", () => {
  it("is written at once, and those that come meanwhile behind it, in one piece and in order", async () => {
    const { writer, take, taken, asked } = open();
    for (const line of ["a\n", "b\n", "ü\n"]) writer.write(line);
    assert.equal(asked.length, 1);
    await take();
    assert.equal(taken(), "a\n");
    await take();
    assert.equal(taken(), "a\nb\nü\n");
    assert.equal(asked.length, 0);
  });

  it("is written whole where the reader takes it in pieces", async () => {
    const { writer, take, taken } = open();
    writer.write("abcdef\n");
    await take(2);
    await take(1);
    await take();
    assert.equal(taken(), "abcdef\n");
  });

  it("is tried again where the descriptor does not block and has no room", async () => {
    const { writer, take, fail, taken, asked } = open();
    writer.write("a\n");
    await fail("EINTR");
    await fail("EAGAIN");
    while (asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await take();
    assert.equal(taken(), "a\n");
  });
});

/** A write wakes a thread: under load, one for each line would cost more than the lines do. */
describe("an interval between writes", () => {
  it("gathers the lines that come in it, and lets the first one after it through at once", async () => {
    const { writer, clock, take, taken, asked } = open(undefined, 20);
    writer.write("a\n");
    await take();
    for (const line of ["b\n", "c\n"]) writer.write(line);
    clock.pass(19);
    await settled();
    assert.equal(asked.length, 0);
    clock.pass(1);
    await settled();
    await take();
    assert.equal(taken(), "a\nb\nc\n");
    clock.pass(20);
    writer.write("d\n");
    await take();
    assert.equal(taken(), "a\nb\nc\nd\n");
  });

  it("ends with a flush, and lines that come while that waits are not gathered", async () => {
    const { writer, take, taken } = open(undefined, 20);
    writer.write("a\n");
    await take();
    writer.write("b\n");
    const flushed = writer.flush(60_000);
    await settled();
    writer.write("c\n");
    await take();
    await take();
    assert.equal(await flushed, true);
    assert.equal(taken(), "a\nb\nc\n");
  });

  it("ends with as many lines as one write takes", async () => {
    const { writer, take, taken, asked } = open(undefined, 20);
    writer.write("a\n");
    await take();
    const line = "x".repeat(9_999) + "\n";
    for (let n = 0; n < 6; n++) writer.write(line);
    await settled();
    assert.equal(asked.length, 0);
    writer.write(line);
    await settled();
    await take();
    assert.equal(taken(), `a\n${line.repeat(7)}`);
  });
});

describe("a reader that has stopped", () => {
  it("costs the lines that do not fit, which are counted, and told of in their place", async () => {
    const { writer, take, taken, counted } = open(100);
    const line = (n: number) => `${String(n).padStart(9, "0")}\n`;
    // One is being written, ten wait.
    for (let n = 0; n < 1000; n++) writer.write(line(n));
    assert.equal(counted.dropped, 989);
    await take();
    writer.write("last\n");
    assert.equal(counted.dropped, 989);
    await take();
    await take();
    const kept = Array.from({ length: 11 }, (_, n) => line(n)).join("");
    assert.equal(taken(), `${kept}989 lost\nlast\n`);
  });

  it("is told of once for all that was lost, and not for each line that there is room for", async () => {
    const { writer, take, taken } = open(BATCHES);
    const line = "x".repeat(9_999) + "\n";
    for (let n = 0; n < 200; n++) writer.write(line);
    while (!taken().includes("lost")) {
      await take();
      writer.write(line);
    }
    assert.equal(taken().match(/lost/g)!.length, 1);
  });

  it("keeps nothing waiting, and a flush gives up in time", async () => {
    const { writer } = open();
    writer.write("a\n");
    assert.equal(await writer.flush(10), false);
  });

  it("is waited for by a flush as long as it reads", async () => {
    const { writer, take, taken } = open();
    assert.equal(await writer.flush(60_000), true);
    writer.write("a\n");
    const flushed = writer.flush(60_000);
    writer.write("b\n");
    await take();
    await take();
    assert.equal(await flushed, true);
    assert.equal(taken(), "a\nb\n");
  });
});

describe("a reader that has gone", () => {
  it("costs the lines, and no more than these", async () => {
    const { writer, take, fail, taken, counted } = open();
    writer.write("a\n");
    writer.write("b\nc\n");
    await fail("EPIPE");
    await fail("EPIPE");
    assert.equal(counted.dropped, 3);
    // A disk that was full may not be full any more.
    writer.write("d\n");
    await take();
    await take();
    assert.equal(taken(), "d\n3 lost\n");
    assert.equal(counted.dropped, 3);
  });
});

/** Several of what is written in one piece. */
const BATCHES = 256 * 1024;
