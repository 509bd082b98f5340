/** `username`: both ways, and what is said of what cannot be read. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { CommandError } from "../../src/exit.ts";
import { linesOf, makeUsername, readUsername } from "../../src/commands/username.ts";

const TENANT = "12345678-1234-1234-1234-123456789abc";
const TENANT_SHORT = "EjRWeBI0EjQSNBI0VniavA";
const CLIENT = "87654321-4321-4321-4321-cba987654321";
const CLIENT_SHORT = "h2VDIUMhQyFDIcuph2VDIQ";
const BOTH = {
  type: "direct",
  tenantId: TENANT,
  clientId: CLIENT,
  long: `${TENANT}@${CLIENT}`,
  short: `${TENANT_SHORT}@${CLIENT_SHORT}`,
};

describe("the command username", () => {
  let folder: string;
  before(() => folder = mkdtempSync(join(tmpdir(), "relay-username-")));
  after(() => rmSync(folder, { recursive: true }));

  function withDelimiter(delimiter: string): string {
    const file = join(folder, "settings.env");
    writeFileSync(file, `USERNAME_DELIMITER=${delimiter}\n`);
    return file;
  }

  /** The one line on standard error, for a usage error. */
  function refusal(text: string, envFile?: string): string {
    try {
      readUsername(text, envFile);
    } catch (error) {
      assert(error instanceof CommandError);
      assert.equal(error.status, 2);
      assert.equal(error.lines.length, 1);
      assert.doesNotMatch(error.lines[0]!, /[\r\n]/);
      return error.lines[0]!;
    }
    assert.fail(`was read: ${text}`);
  }

  const forms: readonly (readonly [form: string, text: string])[] = [
    ["long", BOTH.long],
    ["long, in capitals", BOTH.long.toUpperCase()],
    ["short", BOTH.short],
    ["short, padded", `${TENANT_SHORT}==@${CLIENT_SHORT}==`],
    ["short, with a domain", `${BOTH.short}.example.com`],
    ["long before short", `${TENANT}@${CLIENT_SHORT}`],
    ["short before long", `${TENANT_SHORT}@${CLIENT}`],
  ];
  for (const [form, text] of forms) {
    it(`reads a username: ${form}`, () => assert.deepEqual(readUsername(text, undefined), BOTH));
  }

  it("names each id", () => {
    assert.deepEqual(linesOf(readUsername(BOTH.short, undefined)), [
      `tenant id  ${TENANT}`,
      `client id  ${CLIENT}`,
    ]);
  });

  it("explains that a lookup is the id of an entry", () => {
    const username = readUsername("printer.7@lookup.example.com", undefined);
    assert.deepEqual(username, { type: "lookup", id: "printer.7" });
    assert.match(linesOf(username).join("\n"), /^lookup id +printer\.7 .*RowKey/);
  });

  it("takes an id alone where there is a lookup, as for a device with its own password", () => {
    const path = join(folder, "lookup.env");
    writeFileSync(path, "LOOKUP_FILE=lookup.json\n");
    for (const id of ["scanner", "scanner@printers.example"]) {
      assert.deepEqual(readUsername(id, path), { type: "lookup", id });
    }
    assert.deepEqual(readUsername("scanner@lookup", path), { type: "lookup", id: "scanner" });
    assert.match(refusal("scanner", undefined), /has no "@"/);
  });

  it("reads with USERNAME_DELIMITER, and names it where it does not fit", () => {
    for (const delimiter of [":", "|"]) {
      const file = withDelimiter(delimiter);
      const made = makeUsername(TENANT_SHORT, CLIENT, file);
      assert.equal(made.long, `${TENANT}${delimiter}${CLIENT}`);
      assert.deepEqual(readUsername(made.short, file), made);
      assert.ok(refusal(BOTH.short, file).endsWith(`(USERNAME_DELIMITER is "${delimiter}")`));
    }
  });

  it("reads back what it makes, of any two ids", () => {
    fc.assert(fc.property(fc.uuid(), fc.uuid(), (tenant, client) => {
      const made = makeUsername(tenant, client, undefined);
      assert.deepEqual(readUsername(made.long, undefined), made);
      assert.deepEqual(readUsername(made.short, undefined), made);
    }));
  });

  const refused: readonly (readonly [text: string, line: RegExp])[] = [
    ["", /username is empty/],
    ["scanner", /has no "@"/],
    ["scanner@example.com", /tenant id is neither/],
    [`${TENANT}@x`, /client id is neither/],
    [`${BOTH.short}@example.com`, /more than one "@"/],
    ["@lookup", /lookup id is empty/],
    // https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
    ["a/b@lookup", /cannot be a key of the lookup table/],
    ["a\nb@c", /tenant id is neither/],
    [TENANT, /this is one id/],
    [TENANT_SHORT, /this is one id/],
    ["x".repeat(2000), /too long/],
  ];
  for (const [text, line] of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 60))}`, () => {
      assert.match(refusal(text), line);
    });
  }
});
