import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { readHeader } from "../../src/message/header.ts";

/** RFC 5322 §2.2: the octets of a name are printable, other than the colon. */
const OCTETS = String.fromCharCode(...Array.from({ length: 94 }, (_, i) => i + 33)).replace(
  ":",
  "",
);

function nameOf(written: string): string | undefined {
  return readHeader([Buffer.from(`${written}: x\r\n\r\n`, "latin1")]).fields[0]?.name;
}

describe("a field's name", () => {
  it("is in lower case, however it is written", () => {
    for (const name of ["Subject", "MESSAGE-ID", "content-Transfer-encoding", "X-Mailer"]) {
      assert.equal(nameOf(name), name.toLowerCase());
    }
  });

  it("is another one where a single octet differs", () => {
    for (const name of ["to", "date", "message-id"]) {
      for (let i = 0; i < name.length; i++) {
        for (const octet of OCTETS) {
          const written = name.slice(0, i) + octet + name.slice(i + 1);
          assert.equal(nameOf(written), written.toLowerCase());
        }
      }
    }
  });

  it("may be unknown, longer than all that are known, or of one octet", () => {
    for (const name of ["X-Device-Serial", "X".repeat(200), "Q"]) {
      assert.equal(nameOf(name), name.toLowerCase());
    }
  });
});
