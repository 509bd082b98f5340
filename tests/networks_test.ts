import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { addressText, clientKey, ipv6Octets, Networks, plainAddress } from "../src/networks.ts";

describe("networks", () => {
  for (
    const [list, inside, outside] of [
      ["192.0.2.0/24", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "::1", "2001:db8::1"]],
      ["192.0.2.77/24", ["192.0.2.1"], ["192.0.1.77"]],
      ["192.0.2.1", ["192.0.2.1"], ["192.0.2.2"]],
      ["0.0.0.0/0", ["203.0.113.9"], ["2001:db8::1"]],
      ["::/0", ["2001:db8::1", "::1"], ["203.0.113.9"]],
      ["::ffff:0:0/96", ["203.0.113.9"], ["2001:db8::1"]],
      ["2001:db8::/32", ["2001:db8:ffff::1"], ["2001:db9::1", "192.0.2.1"]],
      ["::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2", "127.0.0.1"]],
      // Found by fuzzing: Bun takes 192.0.2.1 for ::ffff:192.0.2.1, which is in these networks.
      ["::1/64", ["::1", "::2"], ["192.0.2.1", "127.0.0.1"]],
      ["::ffff:192.0.2.0/120", ["192.0.2.9"], ["192.0.3.9"]],
      ["::ffff:c000:200/120", ["192.0.2.9"], ["192.0.3.9", "::ffff:c000:200"]],
      // RFC 4291 §2.5.5.2 maps IPv4 into it, but no IPv4 client is meant.
      ["::/32", ["::1", "::2:3"], ["10.1.2.3", "0.0.0.1", "1::1"]],
      ["::/0", ["::1", "2001:db8::1"], ["10.1.2.3"]],
      ["10.0.0.0/8, 2001:DB8::/48 ,", ["10.9.9.9", "2001:db8::9"], ["11.0.0.1", "2001:db8:1::1"]],
    ] as const
  ) {
    it(`${list} contains its addresses, and no others`, () => {
      const networks = Networks.parse(list);
      assert.ok(networks !== undefined);
      assert.deepEqual(inside.filter((address) => !networks.has(address)), []);
      assert.deepEqual(outside.filter((address) => networks.has(address)), []);
    });
  }

  for (
    const list of [
      "",
      ",",
      "10.0.0.0/33",
      "10.0.0/8",
      "2001:db8::/129",
      "10.0.0.0/",
      "10.0.0.0/-1",
      "10.0.0.0/08x",
      "example.com",
      "10.0.0.1 10.0.0.2",
      "256.0.0.1",
      "fe80::1%eth0",
      "::ffff:10.0.0.0/95",
      "::ffff:a00:0/95",
      "10.0.0.0/8,nonsense",
    ]
  ) {
    it(`${JSON.stringify(list)} is no list of networks`, () => {
      assert.equal(Networks.parse(list), undefined);
    });
  }

  it("are written as CIDR has it", () => {
    const networks = Networks.parse("10.0.0.0/8, 192.0.2.1, 2001:db8::/48");
    assert.equal(String(networks), "10.0.0.0/8,192.0.2.1/32,2001:db8::/48");
  });

  it("hold nothing that is no address", () => {
    const all = Networks.parse("0.0.0.0/0,::/0")!;
    assert.equal(all.has(""), false);
    assert.equal(all.has("localhost"), false);
  });
});

describe("the text of an address", () => {
  // RFC 5952 §4, its own examples among them.
  for (
    const [given, text] of [
      ["2001:db8::1", "2001:db8::1"],
      ["2001:0DB8:0:0:0:0:0:0001", "2001:db8::1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
      ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["0:0:0:0:0:0:0:0", "::"],
      ["1:0:0:0:0:0:0:0", "1::"],
      ["0:0:1:2:3:4:5:6", "::1:2:3:4:5:6"],
      ["1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"],
      ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
      ["::ffff:192.0.2.1", "192.0.2.1"],
      ["::FFFF:c000:201", "192.0.2.1"],
      ["::192.0.2.1", "::c000:201"],
    ] as const
  ) {
    it(`${given} is ${text}`, () => {
      assert.equal(addressText(ipv6Octets(given)), text);
    });
  }

  it("is IPv4 of four octets", () => {
    assert.equal(addressText(Uint8Array.of(192, 0, 2, 1)), "192.0.2.1");
  });
});

describe("a client's address", () => {
  for (
    const [given, plain] of [
      ["192.0.2.1", "192.0.2.1"],
      ["::ffff:192.0.2.1", "192.0.2.1"],
      ["::FFFF:192.0.2.1", "192.0.2.1"],
      ["0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"],
      ["::ffff:c000:201", "192.0.2.1"],
      ["0:0:0:0:0:FFFF:C000:0201", "192.0.2.1"],
      ["::ffff:0:192.0.2.1", "::ffff:0:192.0.2.1"],
      ["1::ffff:c000:201", "1::ffff:c000:201"],
      ["::ffff:", "::ffff:"],
      ["2001:db8::1", "2001:db8::1"],
      ["fe80::1%eth0", "fe80::1"],
    ] as const
  ) it(`${given} is ${plain}`, () => assert.equal(plainAddress(given), plain));

  for (
    const [address, key] of [
      ["192.0.2.1", "192.0.2.1"],
      ["2001:db8::1", "2001:db8:0:0::/64"],
      ["2001:DB8:0:0:ffff::", "2001:db8:0:0::/64"],
      ["2001:db8:0:1::1", "2001:db8:0:1::/64"],
      ["::1", "0:0:0:0::/64"],
      ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
      ["1:2:3:4:5:6:7:8", "1:2:3:4::/64"],
    ] as const
  ) it(`${address} counts as ${key}`, () => assert.equal(clientKey(address), key));
});
