/** The memory of messages that are being sent. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryShare, type Release } from "../../src/queue/memory_share.ts";
import * as fc from "../support/property.ts";

describe("a share of memory", () => {
  it("is given in order of arrival", async () => {
    const share = new MemoryShare(10);
    const given: string[] = [];
    const ask = async (name: string, octets: number): Promise<Release | undefined> => {
      const release = await share.acquire(octets);
      given.push(name);
      return release;
    };
    const first = await ask("first", 8);
    const large = ask("large", 9);
    const small = ask("small", 1);
    await Promise.resolve();
    assert.deepEqual(given, ["first"], "a small one does not overtake for ever");
    first!();
    const release = await large;
    await small;
    assert.deepEqual(given, ["first", "large", "small"]);
    release!();
  });

  it("is given alone to a message that is larger", async () => {
    const share = new MemoryShare(10);
    const first = await share.acquire(1);
    let given = false;
    const large = share.acquire(100).then((release) => {
      given = true;
      return release;
    });
    await Promise.resolve();
    assert.equal(given, false);
    first!();
    await large;
    assert.equal(given, true);
  });

  it("ends all waits when it is closed, also later ones", async () => {
    const share = new MemoryShare(1);
    await share.acquire(1);
    const waiting = share.acquire(1);
    share.close();
    assert.equal(await waiting, undefined);
    assert.equal(await share.acquire(1), undefined);
  });

  it("is never exceeded, and never lost", async () => {
    const sizes = fc.array(fc.nat({ max: 15 }), { maxLength: 30 });
    await fc.assert(fc.asyncProperty(sizes, fc.infiniteStream(fc.nat()), async (sizes, choices) => {
      const share = new MemoryShare(10);
      const active: { readonly octets: number; readonly release: Release }[] = [];
      let waiting = sizes.length;
      for (const octets of sizes) {
        void share.acquire(octets).then((release) => {
          waiting--;
          active.push({ octets, release: release! });
        });
      }
      for (;;) {
        for (let turn = 0; turn < 5; turn++) await Promise.resolve();
        const used = active.reduce((sum, { octets }) => sum + octets, 0);
        assert(used <= 10 || active.filter(({ octets }) => octets > 0).length === 1, `${used}`);
        if (active.length === 0) break;
        const [ended] = active.splice(choices.next().value! % active.length, 1);
        ended!.release();
      }
      assert.equal(waiting, 0);
    }));
  });
});
