// The PROXY protocol's headers (haproxy's doc/proxy-protocol.txt): what they say, what is not a header, and
// that it does not matter in which pieces they arrive.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { plainAddress } from "../../src/networks.ts";
import { ProxyHeaderDetector } from "../../src/server/proxy_gate.ts";
import { ProxyHeaderReader, type ProxyHeaderStep } from "../../src/server/proxy_header.ts";
import { UNSPECIFIED, v2, V2_SIGNATURE } from "./proxy_headers.ts";

const REST = "EHLO client.example\r\n";

function read(octets: Uint8Array): ProxyHeaderStep {
  return new ProxyHeaderReader().push(octets);
}

/** In two pieces, or in any number of them. @returns the reader's last result, with all of the rest */
function inPieces(pieces: readonly Uint8Array[]): ProxyHeaderStep {
  const reader = new ProxyHeaderReader();
  for (const [i, piece] of pieces.entries()) {
    const step = reader.push(piece);
    if (step.type === "invalid") return step;
    if (step.type === "header") {
      return { ...step, rest: Buffer.concat([step.rest, ...pieces.slice(i + 1)]) };
    }
  }
  return { type: "more" };
}

function comparable(step: ProxyHeaderStep) {
  return step.type === "header" ? { ...step, rest: Buffer.from(step.rest).toString("hex") } : step;
}

const line = (text: string) => Buffer.from(`PROXY ${text}\r\n`, "latin1");
const ip6 = (source: string) => `TCP6 ${source} 2001:db8::25 40000 25`;
const LONGEST_IPV6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

const V4 = { family: 0x11, addresses: [192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0, 25] };
const V6 = {
  family: 0x21,
  addresses: [...Buffer.from("20010db8000000000000000000000007", "hex"), ...Array(16).fill(1)]
    .concat([0x9c, 0x40, 0, 25]),
};
const MAPPED = {
  family: 0x21,
  addresses: [...Buffer.from("00000000000000000000ffffc0000207", "hex"), ...Array(16).fill(1)]
    .concat([0x9c, 0x40, 0, 25]),
};
const UNIX = { family: 0x31, addresses: Array<number>(216).fill(0x41) };

const FROM_V4 = { address: "192.0.2.7", port: 40000 };
const FROM_V6 = { address: "2001:db8::7", port: 40000 };

/** Whole headers, with the client that they name. */
const HEADERS: readonly (readonly [string, Uint8Array, typeof FROM_V4 | undefined])[] = [
  // §2.1
  ["v1, IPv4", line("TCP4 192.0.2.7 198.51.100.1 40000 25"), FROM_V4],
  ["v1, the longest IPv4 line", line("TCP4 255.255.255.255 255.255.255.255 65535 65535"), {
    address: "255.255.255.255",
    port: 65535,
  }],
  ["v1, zeros", line("TCP4 0.0.0.0 0.0.0.0 0 0"), { address: "0.0.0.0", port: 0 }],
  ["v1, IPv6", line(ip6("2001:db8::7")), FROM_V6],
  ["v1, IPv6 in full and capitals", line(ip6("2001:0DB8:0:0:0:0:0:0007")), FROM_V6],
  ["v1, IPv4 as IPv6 (§4.2)", line(ip6("::ffff:192.0.2.7")), FROM_V4],
  ["v1, IPv4 as IPv6, hexadecimal", line(ip6("0:0:0:0:0:FFFF:c000:207")), FROM_V4],
  ["v1, the longest IPv6 line", line(`TCP6 ${LONGEST_IPV6} ${LONGEST_IPV6} 65535 65535`), {
    address: LONGEST_IPV6,
    port: 65535,
  }],
  ["v1, unknown in short", line("UNKNOWN"), undefined],
  ["v1, unknown with a space", line("UNKNOWN "), undefined],
  ["v1, unknown with anything", line("UNKNOWN \xff\0 TCP4 192.0.2.7   "), undefined],
  [
    "v1, the longest line of all",
    line(`UNKNOWN ${LONGEST_IPV6} ${LONGEST_IPV6} 65535 65535`),
    undefined,
  ],
  // §2.2
  ["v2, IPv4", v2(V4), FROM_V4],
  ["v2, IPv6", v2(V6), FROM_V6],
  ["v2, IPv4 as IPv6", v2(MAPPED), FROM_V4],
  ["v2, with a NOOP TLV", v2({ ...V4, tlvs: [4, 0, 1, 0] }), FROM_V4],
  ["v2, with what is no TLV at all", v2({ ...V6, tlvs: [0xff, 0xff, 0xff, 0, 1] }), FROM_V6],
  [
    "v2, with a lying TLV that begins a line",
    v2({ ...V4, tlvs: [...Buffer.from("\r\n.\r\n")] }),
    FROM_V4,
  ],
  ["v2, as long as can be", v2({ ...V4, tlvs: Array(65535 - 12).fill(0) }), FROM_V4],
  ["v2, UNIX", v2(UNIX), undefined],
  ["v2, UNIX datagrams", v2({ ...UNIX, family: 0x32 }), undefined],
  ["v2, UDP over IPv4", v2({ ...V4, family: 0x12 }), undefined],
  ["v2, UDP over IPv6", v2({ ...V6, family: 0x22 }), undefined],
  ["v2, unspecified", v2({ family: UNSPECIFIED, addresses: [] }), undefined],
  ["v2, unspecified with an address", v2({ ...V4, family: UNSPECIFIED }), undefined],
  ["v2, IPv4 with an unspecified transport", v2({ ...V4, family: 0x10 }), undefined],
  ["v2, local", v2({ command: 0x20, family: 0, addresses: [] }), undefined],
  ["v2, local with an address", v2({ ...V4, command: 0x20 }), undefined],
  [
    "v2, local with a family that there is not",
    v2({ command: 0x20, family: 0xf7, addresses: [1, 2] }),
    undefined,
  ],
  [
    "v2, local, as long as can be",
    v2({ command: 0x20, family: 0x11, addresses: Array(65535).fill(9) }),
    undefined,
  ],
];

/** What is not a header, and why; nothing after it can change that. */
const INVALID: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ["SMTP", Buffer.from(REST), /no PROXY header/],
  ["TLS", Buffer.from("16030100c8010000c40303", "hex"), /no PROXY header/],
  ["a small letter", Buffer.from("Proxy TCP4 "), /no PROXY header/],
  ["PROXY with a tab", Buffer.from("PROXY\tTCP4"), /no PROXY header/],
  ["a space before", Buffer.from(" PROXY TCP4"), /no PROXY header/],
  ["a signature with one octet wrong", Buffer.from("\r\n\r\n\0\r\nQUIT\r\n", "latin1"), /no PROXY/],
  ["LF alone", Buffer.from("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\n"), /CR LF/],
  ["LF alone after UNKNOWN", Buffer.from("PROXY UNKNOWN\nEHLO x\r\n"), /CR LF/],
  ["CR alone", Buffer.from("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\rE"), /CR LF/],
  ["CR CR LF", Buffer.from("PROXY UNKNOWN\r\r\n"), /CR LF/],
  ["108 octets", line(`UNKNOWN ${"x".repeat(108 - 16)}`), /longer than 107/],
  ["no end of the line", Buffer.from(`PROXY ${"x".repeat(101)}`), /longer than 107/],
  ["no protocol", line(""), /none of TCP4/],
  ["a protocol that there is not", line("TCP5 192.0.2.7 192.0.2.8 1 2"), /none of TCP4/],
  ["a protocol in small letters", line("tcp4 192.0.2.7 192.0.2.8 1 2"), /none of TCP4/],
  ["UDP4", line("UDP4 192.0.2.7 192.0.2.8 1 2"), /none of TCP4/],
  ["UNKNOWN and more", line("UNKNOWNX"), /none of TCP4/],
  ["two spaces", line("TCP4  192.0.2.7 192.0.2.8 1 2"), /six words/],
  ["two spaces before a port", line("TCP4 192.0.2.7 192.0.2.8 1  2"), /six words/],
  ["a space at the end", line("TCP4 192.0.2.7 192.0.2.8 1 2 "), /six words/],
  ["one word more", line("TCP4 192.0.2.7 192.0.2.8 1 2 3"), /six words/],
  ["no ports", line("TCP4 192.0.2.7 192.0.2.8"), /six words/],
  ["one port", line("TCP4 192.0.2.7 192.0.2.8 1"), /six words/],
  ...[
    "192.0.2.256",
    "192.0.2",
    "192.0.2.7.1",
    "192.0.2.07",
    "0300.0.2.7",
    "192.0.2.7/32",
    "192.0..7",
    "0xc0.0.2.7",
    "3221225991",
    "::ffff:192.0.2.7",
    "2001:db8::7",
    "",
    "192.0.2.\xb2",
    "１",
  ].flatMap((bad) =>
    [`TCP4 ${bad} 192.0.2.8 1 2`, `TCP4 192.0.2.8 ${bad} 1 2`].map((text) =>
      [JSON.stringify(text), line(text), /no IPv4/] as const
    )
  ),
  ...[
    "192.0.2.7",
    "2001:db8::7::1",
    "2001:db8:7",
    "2001:db8::7%eth0",
    "[2001:db8::7]",
    "2001:db8::12345",
    "2001:db8::7/64",
    "::ffff:192.0.2.256",
    ":",
    "",
    "1:2:3:4:5:6:7:8:9",
  ].flatMap((bad) =>
    [`TCP6 ${bad} 2001:db8::1 1 2`, `TCP6 2001:db8::1 ${bad} 1 2`].map((text) =>
      [JSON.stringify(text), line(text), /no IPv6/] as const
    )
  ),
  ...["65536", "-1", "+1", "01", "00", "0x19", "1.0", "", "1e3", "99999", "100000"].flatMap((bad) =>
    [`TCP4 192.0.2.7 192.0.2.8 ${bad} 25`, `TCP4 192.0.2.7 192.0.2.8 25 ${bad}`].map((text) =>
      [JSON.stringify(text), line(text), /port/] as const
    )
  ),
  ["version 1 in binary", v2({ ...V4, command: 0x11 }), /version/],
  ["version 3", v2({ ...V4, command: 0x31 }), /version/],
  ["command 2", v2({ ...V4, command: 0x22 }), /command/],
  ["command 15", v2({ ...V4, command: 0x2f }), /command/],
  ["family 4", v2({ ...V4, family: 0x41 }), /family/],
  ["family 15", v2({ ...V4, family: 0xf1 }), /family/],
  ["transport 3", v2({ ...V4, family: 0x13 }), /transport/],
  ["IPv4 without addresses", v2({ family: 0x11, addresses: [] }), /longer than the length/],
  ["IPv4, one octet short", v2({ family: 0x11, addresses: Array(11).fill(1) }), /longer than/],
  ["IPv6 with addresses of IPv4", v2({ ...V4, family: 0x21 }), /longer than the length/],
  ["IPv6, one octet short", v2({ family: 0x21, addresses: Array(35).fill(1) }), /longer than/],
  ["UNIX, one octet short", v2({ family: 0x31, addresses: Array(215).fill(1) }), /longer than/],
  ["UDP, one octet short", v2({ family: 0x12, addresses: Array(11).fill(1) }), /longer than/],
];

describe("a PROXY header", () => {
  for (const [name, octets, source] of HEADERS) {
    it(`${name}: names ${source?.address ?? "no client"}, and ends where it ends`, () => {
      assert.deepEqual(comparable(read(octets)), { type: "header", source, rest: "" });
      const step = read(Buffer.concat([octets, Buffer.from(REST)]));
      assert.ok(step.type === "header");
      assert.deepEqual(step.source, source);
      assert.equal(Buffer.from(step.rest).toString("latin1"), REST);
    });

    it(`${name}: is awaited to its last octet, wherever it is cut`, () => {
      const whole = Buffer.concat([octets, Buffer.from(REST)]);
      const expected = comparable(read(whole));
      // All cuts of the longest ones would take a while, and show no more.
      const cuts = octets.length < 300
        ? Array.from({ length: whole.length + 1 }, (_, i) => i)
        : [...Array(300).keys(), octets.length - 1, octets.length, octets.length + 1];
      for (const cut of cuts) {
        if (cut < octets.length) assert.equal(read(whole.subarray(0, cut)).type, "more", `${cut}`);
        const pieces = [whole.subarray(0, cut), whole.subarray(cut)];
        assert.deepEqual(comparable(inPieces(pieces)), expected, `cut at ${cut}`);
      }
      const single = Array.from(whole, (_, i) => whole.subarray(i, i + 1));
      assert.deepEqual(comparable(inPieces(single)), expected, "octet by octet");
    });
  }

  for (const [name, octets, problem] of INVALID) {
    it(`${name} is not a header, wherever it is cut and whatever follows`, () => {
      const whole = Buffer.concat([octets, Buffer.from(REST)]);
      const step = read(whole);
      assert.ok(step.type === "invalid", JSON.stringify(step));
      assert.match(step.problem, problem);
      for (let cut = 0; cut <= octets.length; cut++) {
        assert.deepEqual(inPieces([whole.subarray(0, cut), whole.subarray(cut)]), step);
      }
      assert.deepEqual(inPieces(Array.from(whole, (_, i) => whole.subarray(i, i + 1))), step);
    });
  }

  it("is rejected at the first octet that cannot be part of one", () => {
    const beginnings = [Buffer.from("PROXY "), V2_SIGNATURE];
    for (const beginning of beginnings) {
      for (let i = 0; i < beginning.length; i++) {
        const wrong = Buffer.from(beginning.subarray(0, i + 1));
        wrong[i]! ^= 0x20;
        assert.equal(read(wrong.subarray(0, i)).type, "more");
        assert.equal(read(wrong).type, "invalid", `octet ${i}`);
      }
    }
    // §2.2, before the addresses have arrived.
    assert.equal(read(v2({ ...V4, command: 0x11 }).subarray(0, 13)).type, "invalid");
    assert.equal(read(v2({ ...V4, family: 0x13 }).subarray(0, 14)).type, "invalid");
    assert.equal(read(v2({ ...V4, family: 0x21 }).subarray(0, 16)).type, "invalid");
    // §2.1: "If the CRLF sequence is not found in the first 107 characters".
    assert.equal(read(Buffer.from(`PROXY ${"x".repeat(100)}`)).type, "more");
    assert.equal(read(Buffer.from(`PROXY ${"x".repeat(101)}`)).type, "invalid");
  });

  it("ignores an empty piece", () => {
    const reader = new ProxyHeaderReader();
    assert.equal(reader.push(new Uint8Array(0)).type, "more");
    assert.equal(reader.push(v2(V4)).type, "header");
  });

  /** Octets that are almost a header, as well as any others. */
  const octets = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.tuple(
      fc.constantFrom(...HEADERS.filter(([, octets]) => octets.length < 300), ...INVALID),
      fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
      fc.uint8Array({ maxLength: 40 }),
    ).map(([[, octets], changes, rest]) => {
      const changed = Buffer.concat([octets, rest]);
      for (const [at, octet] of changes) if (at < changed.length) changed[at] = octet;
      return new Uint8Array(changed);
    }),
    fc.string({ maxLength: 101, unit: fc.constantFrom(..." TCP46UNKNOW.:0129af\r\n") }).map((
      text,
    ) => new Uint8Array(Buffer.from(`PROXY ${text}`, "latin1"))),
  );
  const pieces = fc.tuple(octets, fc.array(fc.nat(400), { maxLength: 8 })).map(([whole, cuts]) => {
    const at = [0, ...cuts.filter((cut) => cut < whole.length).sort((a, b) => a - b), whole.length];
    return { whole, pieces: at.slice(1).map((end, i) => whole.subarray(at[i], end)) };
  });

  it("is read alike in any pieces, for any octets", () => {
    fc.assert(
      fc.property(pieces, ({ whole, pieces }) => {
        assert.deepEqual(comparable(inPieces(pieces)), comparable(read(whole)));
      }),
      { numRuns: 3000 },
    );
  });

  it("consumes no octet more than it needs, and yields only addresses", () => {
    fc.assert(
      fc.property(octets, (whole) => {
        const step = read(whole);
        if (step.type !== "header") return;
        const length = whole.length - step.rest.length;
        assert.equal(read(whole.subarray(0, length - 1)).type, "more");
        assert.equal(read(whole.subarray(0, length)).type, "header");
        if (step.source === undefined) return;
        const { address, port } = step.source;
        assert.equal(plainAddress(address), address);
        assert.ok(Number.isInteger(port) && port >= 0 && port <= 65535);
        // The text form is the same as everywhere else.
        const host = address.includes(":") ? `[${address}]` : address;
        assert.equal(new URL(`http://${host}`).hostname, host);
      }),
      { numRuns: 3000 },
    );
  });

  it("takes no arbitrary octets for a header, and never waits for ever (§2.1, §2.2)", () => {
    fc.assert(
      fc.property(octets, (whole) => {
        const padded = Buffer.concat([whole, Buffer.alloc(16 + 65535, "\r\n")]);
        assert.notEqual(read(padded).type, "more");
      }),
      { numRuns: 300 },
    );
  });
});

describe("the watch for headers from untrusted clients", () => {
  for (const [name, octets] of HEADERS) {
    it(`recognizes ${name}, wherever it is cut`, () => {
      for (let cut = 0; cut < 20; cut++) {
        const alarm = new ProxyHeaderDetector();
        const first = alarm.push(octets.subarray(0, cut));
        const answer = first === "maybe" ? alarm.push(octets.subarray(cut)) : first;
        assert.deepEqual(answer, { version: name.startsWith("v1") ? 1 : 2 });
      }
    });
  }

  for (
    const said of [
      REST,
      "\r\nQUIT\r\n",
      "\r\n\r\n\0\r\nQUIT\r\n",
      "PROXYX\r\n",
      "proxy x\r\n",
      "P\r\n",
    ]
  ) {
    it(`lets ${JSON.stringify(said)} pass, octet by octet`, () => {
      const alarm = new ProxyHeaderDetector();
      let answer: ReturnType<typeof alarm.push> = "maybe";
      for (const octet of Buffer.from(said)) {
        answer = alarm.push(Uint8Array.of(octet));
        if (answer !== "maybe") break;
      }
      assert.equal(answer, undefined);
    });
  }
});
