/** The trace field (RFC 5321 §4.4, RFC 3848), which contains the client's HELO name. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { readHeader } from "../../src/message/header.ts";
import { receivedField, rfc5322Date, type Trace } from "../../src/message/received.ts";
import { content } from "../support/content.ts";

const TRACE: Trace = {
  helo: "printer",
  address: "192.0.2.7",
  hostname: "relay.example.com",
  esmtp: true,
  tls: true,
  smtputf8: false,
  id: "0123456789abcdef",
  at: new Date("2026-11-15T16:07:08Z"),
};

describe("the Received field", () => {
  it("names the client, its address, this relay, protocol, id and time (RFC 5321 §4.4)", () => {
    assert.equal(
      receivedField(TRACE),
      "Received: from printer ([192.0.2.7])\r\n" +
        "\tby relay.example.com with ESMTPSA id 0123456789abcdef;\r\n" +
        "\tSun, 15 Nov 2026 16:07:08 +0000\r\n",
    );
  });

  const PROTOCOLS:
    readonly (readonly [esmtp: boolean, tls: boolean, utf8: boolean, with_: string])[] = [
      [true, true, false, "ESMTPSA"],
      [true, false, false, "ESMTPA"],
      [true, true, true, "UTF8SMTPSA"],
      [true, false, true, "UTF8SMTPA"],
    ];
  for (const [esmtp, tls, smtputf8, name] of PROTOCOLS) {
    it(`has ${name} (RFC 3848, RFC 6531 §4.3)`, () => {
      assert(receivedField({ ...TRACE, esmtp, tls, smtputf8 }).includes(` with ${name} id `));
    });
  }

  const UNTOLD: readonly (readonly [esmtp: boolean, tls: boolean, utf8: boolean, with_: string])[] =
    [
      [false, false, false, "SMTP"],
      [true, false, false, "ESMTP"],
      [true, true, false, "ESMTPS"],
      [true, false, true, "UTF8SMTP"],
      [true, true, true, "UTF8SMTPS"],
    ];
  for (const [esmtp, tls, smtputf8, name] of UNTOLD) {
    it(`has ${name}, without the A of a login, and the reason, for a trusted client (RFC 3848)`, () => {
      const field = receivedField({ ...TRACE, esmtp, tls, smtputf8, trusted: true });
      assert(field.includes(` with ${name} (trusted network) id 0123456789abcdef;\r\n`));
    });
  }

  it("has IPv6 addresses as literals (RFC 5321 §4.1.3)", () => {
    const field = receivedField({ ...TRACE, address: "2001:db8::1" });
    assert(field.startsWith("Received: from printer ([IPv6:2001:db8::1])\r\n"));
  });

  it("keeps address literals as HELO names", () => {
    const field = receivedField({ ...TRACE, helo: "[IPv6:fe80::1]" });
    assert(field.startsWith("Received: from [IPv6:fe80::1] ("));
  });

  it("names a client without a usable HELO name unknown", () => {
    for (const helo of ["", "()<>", " ", "\r\n"]) {
      assert(receivedField({ ...TRACE, helo }).startsWith("Received: from unknown ("));
    }
  });

  it("is one field of ASCII lines under 998 octets, for any HELO name", () => {
    const helo = fc.oneof(
      fc.string({ unit: "binary", maxLength: 300 }),
      fc.constantFrom("a\r\nBcc: evil@x.test", "a)\r\n\r\nbody", "x".repeat(5000), "ü\u2028\0"),
    );
    fc.assert(fc.property(helo, (name) => {
      const field = receivedField({ ...TRACE, helo: name });
      assert(/^[\x20-\x7e\t\r\n]*$/.test(field));
      assert(field.split("\r\n").every((line) => line.length <= 998 && !/[\r\n]/.test(line)));
      const { fields, octets } = readHeader(content(field));
      assert.deepEqual(fields.map(({ name }) => name), ["received"]);
      assert.equal(octets.length, field.length);
    }));
  });
});

describe("a date (RFC 5322 §3.3)", () => {
  it("is in UTC, with the English names of days and months", () => {
    assert.equal(rfc5322Date(new Date(0)), "Thu, 1 Jan 1970 00:00:00 +0000");
    assert.equal(
      rfc5322Date(new Date("2028-02-29T23:59:59.999Z")),
      "Tue, 29 Feb 2028 23:59:59 +0000",
    );
  });

  it("can be parsed again", () => {
    fc.assert(fc.property(
      fc.date({ min: new Date("1970-01-01"), max: new Date("2199-01-01"), noInvalidDate: true }),
      (date) => {
        const seconds = Math.floor(date.getTime() / 1000) * 1000;
        assert.equal(new Date(rfc5322Date(date)).getTime(), seconds);
      },
    ));
  });
});
