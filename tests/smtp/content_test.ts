// What is gathered of a message holds about as much memory as it has octets, however they arrive.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { ContentBuilder, lengthOf } from "../../src/smtp/content.ts";

/** As much as a socket hands over at once. */
const READ = 512 * 1024;

describe("gathered content", () => {
  for (const part of [1, 100, 2048, 4096, 65_536, 262_144, 400_000]) {
    it(`keeps no more than twice its octets where ${part} of each read are content`, () => {
      const builder = new ContentBuilder();
      for (let i = 0; i < 20; i++) {
        const read = new Uint8Array(READ);
        read.fill(i, 100, 100 + part);
        builder.append(Buffer.from(read.buffer, 100, part));
      }
      const content = builder.finish();
      assert.equal(lengthOf(content), 20 * part);
      const octets = Buffer.concat(content);
      for (let i = 0; i < 20; i++) assert.equal(octets[i * part], i);
      const held = new Set(content.map((piece) => piece.buffer));
      let memory = 0;
      for (const { byteLength } of held) memory += byteLength;
      // Blocks grow by doubling.
      assert(memory <= Math.max(8192, 2.2 * 20 * part), `${memory} octets of memory`);
    });
  }
});
