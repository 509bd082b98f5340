/** docs/lookup.schema.json: what it allows, the relay uses; and what is a mistake to one is one to the other. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { COLUMNS, readEntry, tableKeyProblem } from "../../src/accounts/entry.ts";
import { LookupFileReader } from "../../src/accounts/lookup_file_reader.ts";
import { lookupSchema } from "../../scripts/lookup_schema.ts";

const docs = new URL("../../docs/", import.meta.url);
const text = readFileSync(new URL("lookup.schema.json", docs), "utf8");
const schema = JSON.parse(text);
const fits = new Ajv2020({
  strict: true,
  strictTypes: false,
  strictRequired: false,
  allowUnionTypes: true,
})
  .compile(schema);

const UUID = "12345678-1234-1234-1234-123456789abc";
const IDS = { tenant_id: UUID, client_id: UUID };
const MADE = `$sha256$${"A".repeat(22)}$${"A".repeat(43)}`;
const CHOSEN = `$scrypt$ln=14,r=8,p=1$${"A".repeat(22)}$${"A".repeat(43)}`;
const DEVICE = {
  ...IDS,
  password_hash: MADE,
  credential: "certificate",
  from_email: "a@b.example",
};

/** Whether the relay would use each entry, or they are disabled. */
function isUsable(file: string): boolean {
  const reader = new LookupFileReader(file);
  for (let row = reader.next(); row !== undefined; row = reader.next()) {
    if (tableKeyProblem(row.id) !== undefined || readEntry(row).type === "malformed") return false;
  }
  return true;
}

describe("the schema of LOOKUP_FILE", () => {
  it("is what `bun scripts/docs.ts` makes", () => assert.equal(text, lookupSchema()));

  it("has all columns, and says what is allowed in each", () => {
    const { properties } = schema.$defs.entry;
    assert.deepEqual(Object.keys(properties), [...Object.keys(COLUMNS), "description"]);
  });

  const good: Record<string, Record<string, unknown>> = {
    "two UUIDs": IDS,
    "short ids": { tenant_id: "EjRWeBI0EjQSNBI0VniavA", client_id: "EjRWeBI0EjQSNBI0Vniav+==" },
    "a domain of the tenant": { ...IDS, tenant_id: "Contoso.onmicrosoft.com" },
    "all of the Python relay's columns": { ...IDS, from_email: "o'neil+x@b-c.example" },
    "a name": { ...IDS, from_email: "a@b.example", from_name: "Müller & 名前" },
    "senders": { ...IDS, allowed_senders: " a@b.example,@c.example , @d.example," },
    "unknown columns": { ...IDS, description: "x", floor: [1, { a: null }] },
    "disabled, as a text": { ...IDS, disabled: "false" },
    "disabled with any mistake": { disabled: true, tenant_id: UUID },
    "a made password": DEVICE,
    "a chosen one, and senders": {
      ...IDS,
      password_hash: CHOSEN,
      allowed_senders: "@b.example",
      credential: "managed-identity",
    },
    "two passwords": { ...DEVICE, password_hash_next: CHOSEN },
  };
  for (const [name, entry] of Object.entries(good)) {
    it(`allows ${name}`, () => {
      const file = { $schema: "lookup.schema.json", scanner: entry };
      assert(fits(file), JSON.stringify(fits.errors));
      assert(isUsable(JSON.stringify(file)));
    });
  }

  const bad: Record<string, Record<string, unknown>> = {
    "no tenant": { client_id: UUID },
    "no client": { tenant_id: UUID },
    "a client that is a domain": { ...IDS, client_id: "contoso.example" },
    "a number": { ...IDS, from_name: 5 },
    "null": { ...IDS, allowed_senders: null },
    "a list of senders that is a list": { ...IDS, allowed_senders: ["@b.example"] },
    "a domain without @": { ...IDS, allowed_senders: "b.example" },
    "a wildcard": { ...IDS, allowed_senders: "*@b.example" },
    "no address": { ...IDS, from_email: "ann" },
    "a name with a line break": { ...IDS, from_name: "a\nb" },
    "a name that is too long": { ...IDS, from_name: "x".repeat(257) },
    "a misspelled column": { ...IDS, Disabled: true },
    "another spelling of senders": { ...IDS, "allowed-senders": "@b.example" },
    "a third spelling": { ...IDS, AllowedSenders: "@b.example" },
    "yes": { ...IDS, disabled: "yes" },
    "a password in plain text": { ...DEVICE, password_hash: "hunter2" },
    "another cost of scrypt": { ...DEVICE, password_hash: CHOSEN.replace("14", "15") },
    "a password without a credential": { ...DEVICE, credential: undefined },
    "a password without a sender": { ...DEVICE, from_email: undefined },
    "a credential without a password": { ...DEVICE, password_hash: undefined },
    "an unknown credential": { ...DEVICE, credential: "password" },
  };
  for (const [name, entry] of Object.entries(bad)) {
    it(`refuses ${name}, as the relay does`, () => {
      // Without the columns that are undefined.
      const file = JSON.stringify({ scanner: entry });
      assert(!fits(JSON.parse(file)));
      assert(!isUsable(file));
    });
  }

  it("refuses what is no entry, and an id that no table could have", () => {
    for (const file of [[], { a: "x" }, { a: [] }, { "a/b": IDS }, { "": IDS }, { $schema: {} }]) {
      assert(!fits(file), JSON.stringify(file));
    }
  });

  it("allows the examples in docs/lookup_file.md", () => {
    const page = readFileSync(new URL("lookup_file.md", docs), "utf8");
    const examples = [...page.matchAll(/^```json\n([^]*?)^```$/gm)].map(([, text]) => text!);
    assert(examples.length > 0);
    for (const text of examples) {
      assert(fits(JSON.parse(text)), JSON.stringify(fits.errors));
      assert(isUsable(text));
    }
  });
});
