// The PROXY protocol's parser: any octets, valid headers of both versions among them, in any pieces.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import { plainAddress } from "../../../src/networks.ts";
import { ProxyHeaderReader, type ProxyHeaderStep } from "../../../src/server/proxy_header.ts";
import { inPieces, Input, type Target, UNPRINTABLE } from "../engine/target.ts";

/** The first 16 octets of version 2 are followed by at most so many. */
const MOST = 16 + 65_535;

interface Read {
  readonly step: ProxyHeaderStep;
  /** Octets after the header. */
  readonly rest: string;
}

function read(octets: Uint8Array, cuts: readonly number[]): Read {
  const reader = new ProxyHeaderReader();
  const pieces = inPieces(octets, cuts);
  for (const [i, piece] of pieces.entries()) {
    const step = reader.push(piece);
    if (step.type === "more") continue;
    if (step.type === "invalid") return { step, rest: "" };
    const rest = Buffer.concat([step.rest, ...pieces.slice(i + 1)]).toString("latin1");
    return { step: { ...step, rest: new Uint8Array() }, rest };
  }
  return { step: { type: "more" }, rest: "" };
}

const V2 = Buffer.from("0d0a0d0a000d0a515549540a", "hex");

/** What the specification's own words come to, for headers of version 1 that are whole. */
const V1_LINE =
  /^PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP[46] [0-9A-Fa-f:.]+ [0-9A-Fa-f:.]+ (?:0|[1-9]\d{0,4}) (?:0|[1-9]\d{0,4}))\r\n/;

function judge(octets: Buffer, cut: number): void {
  const whole = read(octets, []);
  for (const cuts of [[1], [cut, 1, 5]]) {
    assert.deepEqual(read(octets, cuts), whole, "however the octets are cut up");
  }
  const { step, rest } = whole;
  const text = octets.toString("latin1");
  switch (step.type) {
    case "more":
      assert.ok(octets.length < MOST, "a header without an end");
      if (octets[0] !== V2[0]) assert.ok(octets.length < 107 && !text.includes("\n"));
      break;
    case "invalid":
      assert.ok(step.problem !== "" && !UNPRINTABLE.test(step.problem));
      break;
    case "header": {
      assert.ok(text.endsWith(rest));
      const header = octets.subarray(0, octets.length - rest.length);
      if (header[0] === V2[0]) {
        assert.ok(header.subarray(0, 12).equals(V2));
        assert.equal(header.length, 16 + header.readUInt16BE(14));
      } else {
        assert.match(text, V1_LINE);
        assert.ok(header.length <= 107);
      }
      const { source } = step;
      if (source !== undefined) {
        assert.ok(isIP(source.address) !== 0, source.address);
        assert.equal(plainAddress(source.address), source.address);
        assert.ok(Number.isInteger(source.port) && source.port >= 0 && source.port <= 65_535);
      }
    }
  }
}

/** Of version 2: the command and what follows. */
function v2(command: number, family: number, block: string, announced = block.length): string {
  const length = String.fromCharCode(announced >> 8, announced & 255);
  return `${V2.toString("latin1")}${String.fromCharCode(command, family)}${length}${block}`;
}

const IPV4 = "\xc0\0\x02\x07\xc0\0\x02\x08\x10\0\0\x19";
const IPV6 = "\x20\x01\x0d\xb8" + "\0".repeat(11) + "\x01" + "\0".repeat(10) +
  "\xff\xff\xc0\0\x02\x07" +
  "\x10\0\0\x19";

export const proxyHeader: Target = {
  name: "proxy_header",
  run(octets) {
    const input = new Input(octets);
    const cut = 1 + input.byte();
    judge(input.rest(), cut);
  },
  seeds: [
    "\x04PROXY TCP4 192.0.2.7 192.0.2.8 56324 25\r\nEHLO a\r\n",
    "\x04PROXY TCP6 2001:db8::7 2001:db8::8 1 65535\r\nEHLO a\r\n",
    "\x04PROXY TCP6 ::ffff:192.0.2.7 ::1 0 0\r\n",
    "\x04PROXY UNKNOWN\r\nEHLO a\r\n",
    "\x04PROXY UNKNOWN ffff:f...f:ffff 1 2 3\r\n",
    "\x10" + v2(0x21, 0x11, IPV4) + "EHLO a\r\n",
    "\x10" + v2(0x21, 0x21, IPV6) + "EHLO a\r\n",
    "\x10" + v2(0x21, 0x21, IPV6 + "\x04\0\x03abc") + "EHLO a\r\n",
    "\x10" + v2(0x20, 0, "") + "EHLO a\r\n",
    "\x10" + v2(0x20, 0x99, "abc", 65_535) + "EHLO a\r\n",
    "\x10" + v2(0x21, 0x31, "/".repeat(216)),
    "\x10" + v2(0x21, 0, "x"),
  ],
  words: [
    V2.toString("latin1"),
    ..."PROXY |TCP4 |TCP6 |UNKNOWN|\r\n| |0|65535|65536|255.255.255.255|::|00|01|-1|+1".split("|"),
    ..."\x20|\x21|\x11|\x12|\x22|\x31|\x01|\xff\xff|\0\x0c|\0\x24|\0\xd8|::ffff:1.2.3.4|%eth0"
      .split("|"),
    "\x16\x03\x01",
    "x".repeat(107),
  ],
};
