import assert from "node:assert/strict";
import { isIP as isIPOfNode } from "node:net";
import { describe, it } from "node:test";
import { isIP } from "../src/ip_version.ts";
import * as fc from "./support/property.ts";

describe("the version of an IP address (RFC 4291 §2.2)", () => {
  it("is read from its text", () => {
    for (const text of ["0.0.0.0", "255.255.255.255", "10.200.3.99"]) assert.equal(isIP(text), 4);
    const v6 = [
      ...["::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8"],
      ...["::ffff:10.0.0.1", "1:2:3:4:5:6:10.0.0.1", "1::10.0.0.1", "FE80::1%eth0.5", "a::b:c"],
    ];
    for (const text of v6) assert.equal(isIP(text), 6, text);
    const none = [
      ...["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "1.2.3.4%a", "localhost"],
      ...[
        ":",
        ":::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7::8",
        "1::2::3",
        "12345::",
      ],
      ...["::1.2.3", "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", "g::", "::1%", "[::1]", "1:2\n"],
    ];
    for (const text of none) assert.equal(isIP(text), 0, text);
  });

  it("is the same as node:net's for any text that looks like one", () => {
    const piece = fc.constantFrom(
      "",
      "0",
      "1",
      "ff",
      "abcd",
      "12345",
      "1.2.3.4",
      "256.0.0.1",
      "%a",
    );
    const texts = fc.array(piece, { minLength: 1, maxLength: 10 }).map((parts) => parts.join(":"));
    fc.assert(fc.property(texts, (text) => isIP(text) === isIPOfNode(text)), { numRuns: 3_000 });
  });
});
