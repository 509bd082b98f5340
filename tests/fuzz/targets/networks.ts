// Lists of networks and addresses of clients, against the plain arithmetic of their bits.

import assert from "node:assert/strict";
import { isIP } from "node:net";
import { clientKey, Networks, plainAddress } from "../../../src/networks.ts";
import { Input, type Target, UNPRINTABLE } from "../engine/target.ts";

/** The bits of an address that `isIP` takes. */
function bits(address: string): string {
  const binary = (number: number, length: number) => number.toString(2).padStart(length, "0");
  if (!address.includes(":")) return address.split(".").map((it) => binary(+it, 8)).join("");
  const [head = "", tail] = address.split("::").map((side) =>
    side.split(":").filter((group) => group !== "").map((group) =>
      group.includes(".") ? bits(group) : binary(parseInt(group, 16), 16)
    ).join("")
  );
  return tail === undefined ? head : head.padEnd(128 - tail.length, "0") + tail;
}

export const networks: Target = {
  name: "networks",
  run(octets) {
    const input = new Input(octets);
    const address = plainAddress(input.until(10).toString("latin1"));
    const text = input.rest().toString("latin1");
    assert.equal(plainAddress(address), address, "a second time");
    const key = clientKey(address);
    if (isIP(address) === 6) {
      const prefix = bits(address).slice(0, 64);
      const [network = ""] = key.split("/");
      assert.equal(bits(network), prefix + "0".repeat(64));
    } else {
      assert.equal(key, address);
    }
    const list = Networks.parse(text);
    if (list === undefined) return;
    const inside = isIP(address) !== 0 && list.ranges.some((range) => {
      const same = bits(range.address).slice(0, range.prefix);
      return isIP(address) === range.family && bits(address).startsWith(same);
    });
    assert.equal(list.has(address), inside, `${address} in ${text}`);
    for (const range of list.ranges) {
      assert.ok(range.prefix >= 0 && range.prefix <= (range.family === 4 ? 32 : 128));
      assert.ok(!UNPRINTABLE.test(range.address));
      assert.ok(list.has(range.address), `${range.address}/${range.prefix} has its own address`);
    }
  },
  seeds: [
    "192.0.2.7\n192.0.2.0/24, 2001:db8::/32",
    "::ffff:192.0.2.7\n::ffff:192.0.2.0/120",
    "2001:db8::7%eth0\n2001:db8::/33,10.0.0.0/8",
    "::1\n::/0",
    "1.2.3.4\n0.0.0.0/0",
    "fe80::1:2:3.4.5.6\nfe80::/10",
  ],
  words: [
    "/",
    ",",
    ":",
    "::",
    ".",
    "%",
    "0",
    "/0",
    "/32",
    "/128",
    "/96",
    "ffff",
    "::ffff:",
    "\n",
    "1.2.3.4",
  ],
  maxLength: 512,
};
