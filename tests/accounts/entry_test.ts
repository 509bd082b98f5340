/** The meaning of a row of the lookup table: valid as a whole, or malformed. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { readEntry } from "../../src/accounts/entry.ts";
import { isTableKey } from "../../src/accounts/entry.ts";
import { hashOf } from "../support/passwords.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const IDS = { tenant_id: TENANT, client_id: CLIENT };
const HASH = hashOf("a device's password", "sha256");

function entry(columns: Record<string, unknown>) {
  const reading = readEntry({ id: "printer", columns });
  assert(reading.type === "entry", JSON.stringify(reading));
  return reading.entry;
}

describe("a row of the lookup table", () => {
  it("needs tenant_id and client_id, and no more", () => {
    const { allowedSenders, ...rest } = entry(IDS);
    assert.deepEqual(rest, {
      id: "printer",
      tenantId: TENANT,
      clientId: CLIENT,
      fromEmail: undefined,
      fromName: undefined,
      device: undefined,
    });
    assert.equal(allowedSenders, undefined);
  });

  it("may have its ids in every form of a username, and as the type for UUIDs", () => {
    const short = Buffer.from(CLIENT.replaceAll("-", ""), "hex").toString("base64url");
    const guid = { type: "Guid", value: CLIENT };
    for (const id of [CLIENT, CLIENT.toUpperCase(), ` ${CLIENT} `, short, `${short}==`, guid]) {
      assert.equal(entry({ ...IDS, client_id: id }).clientId, CLIENT);
    }
  });

  it("may name the tenant by one of its domains", () => {
    assert.equal(
      entry({ ...IDS, tenant_id: "Contoso.OnMicrosoft.com" }).tenantId,
      "contoso.onmicrosoft.com",
    );
  });

  it("has the values of its columns, and none for empty ones", () => {
    const columns = { ...IDS, from_email: " ann@x.test ", from_name: "Ann Ä", disabled: "FALSE" };
    const full = entry({ ...columns, allowed_senders: "ann@x.test,@y.test", description: "x" });
    assert.deepEqual([full.fromEmail, full.fromName], ["ann@x.test", "Ann Ä"]);
    assert.equal(full.allowedSenders, "ann@x.test,@y.test");
    const empty = { from_email: "", from_name: " ", allowed_senders: null, disabled: "" };
    assert.deepEqual(entry({ ...IDS, ...empty }), entry(IDS));
    assert.deepEqual(entry({ ...IDS, disabled: false }), entry(IDS));
  });

  for (const disabled of [true, "true", "True", " TRUE "]) {
    it(`is disabled by ${JSON.stringify(disabled)}, whatever else it contains`, () => {
      for (const columns of [{ ...IDS, disabled }, { disabled, client_id: 5 }]) {
        assert.equal(readEntry({ id: "printer", columns }).type, "disabled");
      }
    });
  }

  const MALFORMED: readonly (readonly [column: string, value: unknown])[] = [
    ["tenant_id", undefined],
    ["tenant_id", ""],
    ["tenant_id", "common"],
    ["tenant_id", "not a domain.example"],
    ["tenant_id", `${TENANT}0`],
    ["client_id", undefined],
    ["client_id", "client.example"],
    ["client_id", "a-client-secret~that.was.pasted"],
    ["client_id", 42],
    ["client_id", new Uint8Array(16)],
    ["from_email", "ann"],
    ["from_email", "Ann <ann@x.test>"],
    ["from_email", "ann@x.test,bob@x.test"],
    ["from_email", "ann@x.test\r\nBcc: eve@x.test"],
    ["from_name", "Ann\r\nBcc: eve@x.test"],
    ["from_name", "x".repeat(257)],
    ["from_name", new Date()],
    ["allowed_senders", "x.test"],
    ["allowed_senders", ","],
    ["allowed_senders", "*"],
    ["disabled", "yes"],
    ["disabled", "1"],
    ["disabled", 1],
  ];
  for (const [column, value] of MALFORMED) {
    const shown = JSON.stringify(value) ?? "nothing";
    it(`is malformed with ${shown.slice(0, 40)} as ${column}, and names the column`, () => {
      const reading = readEntry({ id: "printer", columns: { ...IDS, [column]: value } });
      assert(reading.type === "malformed");
      assert.equal(reading.mistake.column, column);
      // A value in the wrong column may be a secret.
      if (typeof value === "string" && value.length > 2) {
        assert(!JSON.stringify(reading).includes(value));
      }
    });
  }
});

describe("a column with almost a known name", () => {
  for (
    const [name, value, column] of [
      ["Disabled", true, "disabled"],
      ["DISABLED", "false", "disabled"],
      ["Allowed_Senders", "@x.test", "allowed_senders"],
      ["allowed-senders", "@x.test", "allowed_senders"],
      ["allowedSenders", "@x.test", "allowed_senders"],
      // The device's password would be shown to Entra ID as a secret.
      ["Password_Hash", HASH, "password_hash"],
      ["passwordHashNext", HASH, "password_hash_next"],
      ["password_hash\u00a0", HASH, "password_hash"],
      ["pasword_hash", HASH, "password_hash"],
      ["hash", HASH, "password_hash"],
    ] as const
  ) {
    it(`makes the entry malformed, and is named: ${name}`, () => {
      const reading = readEntry({ id: "printer", columns: { ...IDS, [name]: value } });
      assert(reading.type === "malformed", JSON.stringify(reading));
      assert.deepEqual(reading.mistake, {
        column,
        allowed: `called exactly so in the table, not "${name}"`,
      });
    });
  }

  it("is named as well if the correct one is missing", () => {
    const { client_id: _, ...columns } = { ...IDS, Client_ID: CLIENT };
    const reading = readEntry({ id: "printer", columns });
    assert(reading.type === "malformed");
    assert.match(reading.mistake.allowed, /not "Client_ID"$/);
  });

  it("does not matter if it is empty or the entry is disabled", () => {
    assert.deepEqual(entry({ ...IDS, Disabled: "", Allowed_Senders: null }), entry(IDS));
    const columns = { ...IDS, disabled: true, Allowed_Senders: "@x.test" };
    assert.equal(readEntry({ id: "printer", columns }).type, "disabled");
  });

  it("is not any other column: those are ignored, whatever their names", () => {
    const other = { TenantId: "of something else", "from-email": "x", FromName: "x" };
    const columns = { ...IDS, ...other, sender: "x", disabled2: "true", disable: "true" };
    assert.deepEqual(entry(columns), entry(IDS));
  });
});

describe("a key of a table", () => {
  for (
    const key of ["printer", "o'neil", "a b", "日本", "x".repeat(1024), "a%2Fb", "; drop", "(x)"]
  ) {
    it(`may be ${key.slice(0, 20)}`, () => assert(isTableKey(key)));
  }
  for (
    const key of ["", "a/b", "a\\b", "a#b", "a?b", "a\tb", "a\u0085b", "\x00", "x".repeat(1025)]
  ) {
    it(`may not be ${JSON.stringify(key).slice(0, 20)}`, () => assert(!isTableKey(key)));
  }
});
