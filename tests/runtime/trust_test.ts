/** Which hosts a certificate is for (RFC 9525 §6): by its subjectAltName, and by nothing else. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { alternativeNames } from "../../src/runtime/alternative_names.ts";
import { identityProblem } from "../../src/runtime/trust.ts";
import { type CertificateWishes, createAuthority } from "../support/authority.ts";

const authority = await createAuthority("the tests' authority");

async function issued(wishes: CertificateWishes): Promise<Uint8Array<ArrayBuffer>> {
  const { certificate } = await authority.issue(wishes);
  return new Uint8Array(new X509Certificate(certificate).raw);
}

async function isFor(hostname: string, wishes: CertificateWishes): Promise<boolean> {
  const raw = await issued(wishes);
  const problem = identityProblem(hostname, { raw } as Parameters<typeof identityProblem>[1]);
  if (problem === undefined) return true;
  assert.equal((problem as { code?: string }).code, "ERR_TLS_CERT_ALTNAME_INVALID");
  return false;
}

const CASES: readonly (readonly [hostname: string, names: readonly string[], named: boolean])[] = [
  ["graph.microsoft.com", ["graph.microsoft.com"], true],
  ["graph.microsoft.com", ["GRAPH.Microsoft.COM"], true],
  ["Graph.Microsoft.com", ["graph.microsoft.com"], true],
  ["graph.microsoft.com.", ["graph.microsoft.com"], true],
  ["graph.microsoft.com", ["x.example", "*.microsoft.com"], true],
  ["xn--bcher-kva.example.com", ["*.example.com"], true],
  ["localhost", ["localhost"], true],
  ["graph.microsoft.com", ["microsoft.com"], false],
  ["microsoft.com", ["*.microsoft.com"], false],
  ["a.graph.microsoft.com", ["*.microsoft.com"], false],
  ["agraph.microsoft.com", ["graph.microsoft.com"], false],
  ["graph.microsoft.com", ["graph.microsoft.com.evil.example"], false],
  // RFC 9525 §6.3: nothing but a whole leftmost label.
  ["graph.microsoft.com", ["g*.microsoft.com", "*h.microsoft.com", "g*h.microsoft.com"], false],
  ["graph.microsoft.com", ["graph.*.com", "*.*.com", "*.*.*", "graph.microsoft.*"], false],
  ["graph.microsoft.com", ["**.microsoft.com", ".microsoft.com", "*microsoft.com"], false],
  ["xn--bcher-kva.example.com", ["xn--*.example.com"], false],
  ["microsoft.com", ["*.com"], false],
  ["localhost", ["*", "*.", "l*"], false],
  [".microsoft.com", ["*.microsoft.com"], false],
  // §6.2: an address is no name.
  ["192.0.2.1", ["192.0.2.1", "*.0.2.1"], false],
  ["::1", ["::1"], false],
];
const ADDRESSES: typeof CASES = [
  ["192.0.2.1", ["192.0.2.1"], true],
  ["192.0.2.1", ["192.0.2.2", "2001:db8::1"], false],
  ["::1", ["::1"], true],
  ["2001:DB8:0:0:1::", ["2001:db8::1:0:0:0"], true],
  ["2001:db8::1", ["2001:db8::10"], false],
  ["::ffff:192.0.2.1", ["::ffff:c000:201"], true],
  // They may be the same machine, but they are not the same identity.
  ["192.0.2.1", ["::ffff:c000:201"], false],
  ["localhost", ["127.0.0.1"], false],
];

describe("a certificate", () => {
  for (const [hostname, names, named] of CASES) {
    it(`is ${named ? "" : "not "}for ${hostname} with the names ${names.join(", ")}`, async () => {
      assert.equal(await isFor(hostname, { names }), named);
    });
  }
  for (const [hostname, addresses, named] of ADDRESSES) {
    it(`is ${named ? "" : "not "}for ${hostname} with the addresses ${addresses.join(", ")}`, async () => {
      assert.equal(await isFor(hostname, { addresses }), named);
    });
  }

  it("has no name without subjectAltName (§2): the common name does not count", async () => {
    for (const commonName of ["localhost", "127.0.0.1", "graph.microsoft.com"]) {
      assert.equal(await isFor(commonName, { commonName }), false);
    }
  });

  it("has no name when there is no certificate", () => {
    const problem = identityProblem("localhost", undefined);
    assert.equal((problem as { code?: string }).code, "ENOCERTIFICATE");
  });

  it("is reported in a line that does not grow with its names", async () => {
    const names = Array.from({ length: 500 }, (_, index) => `${"x".repeat(60)}.${index}.example`);
    const raw = await issued({ names });
    const problem = identityProblem("localhost", { raw } as Parameters<typeof identityProblem>[1]);
    assert.match(
      problem!.message,
      /^the certificate is not for localhost, but for x+\.0\.example, /,
    );
    assert.match(problem!.message, / and 495 more$/);
    assert(problem!.message.length < 1000);
  });
});

describe("the names in a certificate", () => {
  it("are those of its DER, whatever another kind of name looks like (CVE-2021-44532)", async () => {
    const uris = ["http://x/, DNS:graph.microsoft.com", "http://x/, IP Address:192.0.2.7"];
    const raw = await issued({ uris, names: ["One.example"], addresses: ["192.0.2.1", "::1"] });
    assert.deepEqual(alternativeNames(raw), {
      names: ["one.example"],
      addresses: ["c0000201", "00000000000000000000000000000001"],
    });
  });

  it("are missing in half a certificate, or in one that is broken anywhere", async () => {
    const raw = await issued({ names: ["one.example"], addresses: ["192.0.2.1"] });
    for (let end = 0; end < raw.length; end++) {
      assert.deepEqual(alternativeNames(raw.subarray(0, end)), { names: [], addresses: [] });
    }
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.nat(raw.length - 1), fc.integer({ min: 0, max: 255 })), {
        maxLength: 5,
      }),
      (changes) => {
        const broken = raw.slice();
        for (const [at, octet] of changes) broken[at] = octet;
        const { names, addresses } = alternativeNames(broken);
        for (const name of names) assert.match(name, /^[\x21-\x7e]*$/);
        for (const address of addresses) assert.match(address, /^(?:[0-9a-f]{8}|[0-9a-f]{32})$/);
      },
    ));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      alternativeNames(octets);
    }));
  });

  it("are missing if the extension occurs twice (RFC 5280 §4.2)", async () => {
    const raw = await issued({ names: ["one.example"] });
    const twice = Buffer.from(raw);
    // The one extension of it, written once more: outer lengths grow with it.
    const id = twice.indexOf(Buffer.from("0603551d11", "hex"));
    const extension = twice.subarray(id - 2, id + twice[id - 1]!);
    assert.deepEqual(alternativeNames(wrapped(extension)), {
      names: ["one.example"],
      addresses: [],
    });
    assert.deepEqual(alternativeNames(wrapped(extension, extension)), { names: [], addresses: [] });
  });
});

/** As much of a certificate as is read, with these extensions. */
function wrapped(...extensions: readonly Uint8Array[]): Uint8Array {
  const element = (tag: number, content: Uint8Array) =>
    Buffer.concat([Buffer.from([tag, content.length]), content]);
  const list = element(0x30, Buffer.concat(extensions));
  return element(0x30, element(0x30, element(0xa3, list)));
}
