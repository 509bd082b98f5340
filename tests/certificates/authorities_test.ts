/** EXTRA_CA_CERTS_FILEPATH: the files that are read, and the messages when they cannot be. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readAuthorities } from "../../src/certificates/authorities.ts";
import { CertificateError } from "../../src/certificates/certificate.ts";
import { createAuthority } from "../support/authority.ts";

describe("EXTRA_CA_CERTS_FILEPATH", () => {
  let directory: string;
  let one: string;
  let other: string;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "relay-authorities-"));
    one = (await createAuthority("one")).certificate;
    other = (await createAuthority("other")).certificate;
  });
  after(() => rmSync(directory, { recursive: true }));

  function file(text: string): string {
    const path = join(directory, "authorities.pem");
    writeFileSync(path, text);
    return path;
  }

  it("names no authority when it is unset", () => {
    assert.deepEqual(readAuthorities(undefined), []);
  });

  it("may contain several, with text around them and any line ends", () => {
    const text = `# The company's own\r\n${one.replaceAll("\n", "\r\n")}\r\n\nother:\n${other}`;
    const found = readAuthorities([{ variable: "EXTRA_CA_CERTS_FILEPATH", path: file(text) }]).map((
      pem,
    ) => pem.replace(/\s/g, ""));
    assert.deepEqual(found, [one, other].map((pem) => pem.replace(/\s/g, "")));
  });

  it("may be in several files, each reported by the variable that names it", () => {
    const path = file(one);
    const missing = join(directory, "none.pem");
    assert.deepEqual(
      readAuthorities([
        { variable: "SSL_CERT_FILE", path },
        { variable: "REQUESTS_CA_BUNDLE", path },
      ]).length,
      2,
    );
    assert.throws(() =>
      readAuthorities([
        { variable: "SSL_CERT_FILE", path: missing },
        { variable: "REQUESTS_CA_BUNDLE", path: directory },
      ]), (error: Error) => {
      assert(error instanceof CertificateError);
      assert.match(error.lines[0]!, /^SSL_CERT_FILE "[^"]+none\.pem" does not exist$/);
      assert.match(error.lines[1]!, /^REQUESTS_CA_BUNDLE "[^"]+" is a directory$/);
      assert.equal(error.lines.length, 2);
      return true;
    });
  });

  const PROBLEMS: readonly (readonly [name: string, path: () => string, line: RegExp])[] = [
    ["is missing", () => join(directory, "none.pem"), /"[^"]+none\.pem" does not exist$/],
    ["is a directory", () => directory, /is a directory$/],
    ["is empty", () => file(""), /holds no certificate in PEM form$/],
    ["is no PEM", () => file("\x30\x82"), /holds no certificate in PEM form$/],
    [
      "has a broken second certificate",
      () => file(one + other.replace(/\n[^\n]+\n/, "\nbroken\n")),
      /is damaged: its certificate number 2 cannot be read$/,
    ],
  ];
  for (const [name, path, line] of PROBLEMS) {
    it(`stops the start with one line when it ${name}`, () => {
      assert.throws(
        () => readAuthorities([{ variable: "EXTRA_CA_CERTS_FILEPATH", path: path() }]),
        (error: Error) => {
          assert(error instanceof CertificateError);
          assert.match(error.message, /^EXTRA_CA_CERTS_FILEPATH "/);
          assert.match(error.message, line);
          return true;
        },
      );
    });
  }
});
