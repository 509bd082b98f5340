/** Every form of an SMTP username, as the Python relay accepted them. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import {
  type Delimiter,
  parseId,
  parseUsername,
  shortId,
  usernameKey,
} from "../../src/accounts/username.ts";

const TENANT = "12345678-1234-1234-1234-123456789abc";
const TENANT_SHORT = "EjRWeBI0EjQSNBI0VniavA";
// Its octets are such that base64 needs both of the characters that base64url replaces.
const CLIENT = "fbefbeff-fbef-4bef-bfbe-fffbefbefffe";
const CLIENT_SHORT = Buffer.from(CLIENT.replaceAll("-", ""), "hex").toString("base64url");
const CLIENT_BASE64 = Buffer.from(CLIENT.replaceAll("-", ""), "hex").toString("base64");

const DELIMITERS: readonly Delimiter[] = ["@", ":", "|"];

const IDS: readonly (readonly [form: string, text: string, uuid: string])[] = [
  ["a UUID in lower case", TENANT, TENANT],
  ["a UUID in upper case", TENANT.toUpperCase(), TENANT],
  ["a UUID in both cases", "12345678-1234-1234-1234-123456789AbC", TENANT],
  ["base64url in RFC 9562 order", TENANT_SHORT, TENANT],
  ["base64url with its padding", `${TENANT_SHORT}==`, TENANT],
  ["base64url with half of its padding", `${TENANT_SHORT}=`, TENANT],
  ["base64url with - and _", CLIENT_SHORT, CLIENT],
  ["base64 with + and /", CLIENT_BASE64.slice(0, 22), CLIENT],
  ["base64 with its padding", CLIENT_BASE64, CLIENT],
  [
    "base64url of octets that are all 0",
    "AAAAAAAAAAAAAAAAAAAAAA",
    "00000000-0000-0000-0000-000000000000",
  ],
  [
    "base64 of octets that are all 1",
    "/////////////////////w",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
  ],
  ["a mixture of both alphabets", "_/-+_/-+_/-+_/-+_/-+_w", "ffffbeff-ffbe-ffff-beff-ffbeffffbeff"],
];

const NO_IDS: readonly (readonly [what: string, text: string])[] = [
  ["nothing", ""],
  ["a UUID in braces", `{${TENANT}}`],
  ["a UUID without hyphens", TENANT.replaceAll("-", "")],
  ["a UUID with a hyphen in the wrong place", "1234567-81234-1234-1234-123456789abc"],
  ["a UUID that is too short", TENANT.slice(1)],
  ["a UUID that is too long", `${TENANT}0`],
  ["a UUID with a letter that is no digit", TENANT.replace("a", "g")],
  ["a UUID behind a space", ` ${TENANT}`],
  ["a UUID before a line end", `${TENANT}\n`],
  ["base64url of 15 octets", TENANT_SHORT.slice(0, 20)],
  ["base64url of 17 octets", `${TENANT_SHORT}A`],
  ["base64url with too much padding", `${TENANT_SHORT}===`],
  ["base64url with padding in the middle", "EjRWeBI0EjQ=SNBI0VniavA"],
  ["base64url before a line end", `${TENANT_SHORT}\n`],
  ["base64url with a sign outside of both alphabets", `${TENANT_SHORT.slice(0, 21)}*`],
  ["a domain", "example.com"],
];

describe("an id in a username", () => {
  it("alphabets of this test differ where they should", () => {
    assert(CLIENT_BASE64.includes("+") && CLIENT_BASE64.includes("/"));
    assert(CLIENT_SHORT.includes("-") && CLIENT_SHORT.includes("_"));
  });

  for (const [form, text, uuid] of IDS) {
    it(`may be ${form}`, () => assert.equal(parseId(text), uuid));
  }
  for (const [what, text] of NO_IDS) {
    it(`cannot be ${what}`, () => assert.equal(parseId(text), undefined));
  }

  it("has a short form of 22 characters that every client accepts, and that can be decoded", () => {
    fc.assert(fc.property(fc.uuid(), (uuid) => {
      const short = shortId(uuid);
      assert.match(short, /^[A-Za-z0-9_-]{22}$/);
      assert.equal(parseId(short), uuid);
      assert.equal(parseId(`${short}==`), uuid);
      assert.equal(parseId(uuid.toUpperCase()), uuid);
    }));
  });

  it("has the short form of the example in the contract", () => {
    assert.equal(shortId(TENANT), TENANT_SHORT);
  });
});

describe("a username", () => {
  for (const delimiter of DELIMITERS) {
    for (const [tenantForm, tenant, tenantId] of IDS) {
      it(`with ${delimiter} may have ${tenantForm} mixed with any form of client id`, () => {
        for (const [, client, clientId] of IDS) {
          assert.deepEqual(
            parseUsername(`${tenant}${delimiter}${client}`, delimiter),
            { type: "direct", tenantId, clientId },
          );
        }
      });
    }

    it(`with ${delimiter} loses everything from the first dot after the delimiter`, () => {
      for (
        const suffix of [".com", ".example.com", ".", "..", `.x${delimiter}y`, ".=", ".\u00fc"]
      ) {
        for (const [, client, clientId] of IDS) {
          assert.deepEqual(
            parseUsername(`${TENANT_SHORT}${delimiter}${client}${suffix}`, delimiter),
            { type: "direct", tenantId: TENANT, clientId },
          );
        }
        assert.deepEqual(
          parseUsername(`printer${delimiter}lookup${suffix}`, delimiter),
          { type: "lookup", id: "printer" },
        );
      }
    });

    it(`with ${delimiter} is looked up when it ends in lookup, in lower case`, () => {
      const lookup = (id: string) => parseUsername(`${id}${delimiter}lookup`, delimiter);
      for (const id of ["printer", "Printer-7_x", "printer.floor.1", ".", TENANT, "ü", "a b"]) {
        assert.deepEqual(lookup(id), { type: "lookup", id });
      }
    });

    it(`with ${delimiter} has only one delimiter`, () => {
      for (
        const name of [
          `a${delimiter}${TENANT}${delimiter}${CLIENT}`,
          `a${delimiter}b${delimiter}lookup`,
        ]
      ) {
        const result = parseUsername(name, delimiter);
        assert(result.type === "invalid");
        assert(result.problem.includes(`more than one "${delimiter}"`), result.problem);
      }
    });
  }

  const REFUSED: readonly (readonly [what: string, name: string, problem: RegExp])[] = [
    ["nothing", "", /empty; expected tenant@client or id@lookup/],
    ["no delimiter", TENANT, /has no "@"; expected tenant@client or id@lookup/],
    ["another delimiter than the one set", `${TENANT}:${CLIENT}`, /has no "@"/],
    ["no tenant", `@${CLIENT}`, /tenant id is neither/],
    ["no client", `${TENANT}@`, /client id is neither/],
    ["a dot right behind the delimiter", `${TENANT}@.${CLIENT}`, /client id is neither/],
    ["a dot before the delimiter", `${TENANT}.com@${CLIENT}`, /tenant id is neither/],
    ["a domain as tenant", `example.com@${CLIENT}`, /tenant id is neither/],
    ["a lookup without an id", "@lookup", /lookup id is empty/],
    ["LOOKUP in capitals", "printer@LOOKUP", /tenant id is neither/],
    ["Lookup with a capital", `${TENANT}@Lookup`, /client id is neither/],
    ["a space at the end", `${TENANT}@${CLIENT} `, /client id is neither/],
    ["a line end in it", `${TENANT}@${CLIENT}\n`, /client id is neither/],
    ["no end", `${TENANT}@${CLIENT}.${"x".repeat(2000)}`, /too long/],
  ];
  for (const [what, name, problem] of REFUSED) {
    it(`is refused with ${what}, and the reason`, () => {
      const result = parseUsername(name, "@");
      assert(result.type === "invalid", JSON.stringify(result));
      assert.match(result.problem, problem);
      assert(!/[\r\n]/.test(result.problem));
    });
  }

  it("never throws, and yields ids in lower case or a problem of one line, whatever it is", () => {
    const piece = fc.oneof(
      fc.constantFrom("@", ":", "|", ".", "lookup", TENANT, TENANT_SHORT, CLIENT_BASE64, "="),
      fc.string({ unit: "binary", maxLength: 6 }),
    );
    const name = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
    fc.assert(
      fc.property(name, fc.constantFrom(...DELIMITERS), (text, delimiter) => {
        const result = parseUsername(text, delimiter);
        if (result.type === "direct") {
          assert.match(result.tenantId, uuid);
          assert.match(result.clientId, uuid);
        } else if (result.type === "lookup") {
          assert.equal(text.slice(0, result.id.length + 7), `${result.id}${delimiter}lookup`);
        } else {
          assert.match(result.problem, /^[^\r\n]+$/);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("a username that may be the bare id of an entry", () => {
  /** In the form of Entra ID's, but not a real secret. */
  const SECRET = "aB38Q~xYzXyZxYzXyZxYzXyZxYzXyZxYzXyZxY_1";
  const bareId = (text: string, delimiter: Delimiter = "@") => {
    const name = parseUsername(text, delimiter);
    return name.type === "invalid" ? name.bareId : name.type;
  };

  it("is every text of no other form", () => {
    const IDS = ["scanner", "scanner@printers.example", "a@b@c", "Etage 3, Büro", "@lookup", "x:y"];
    for (const delimiter of ["@", ":", "|"] as const) {
      for (const id of IDS) assert.equal(bareId(id, delimiter), id);
    }
    assert.equal(bareId("ReceptionPrinterOnTheSecondFloor2"), "ReceptionPrinterOnTheSecondFloor2");
  });

  it("is no text of another form", () => {
    assert.equal(bareId("scanner@lookup.printers.example"), "lookup");
    assert.equal(bareId(`${TENANT}@${CLIENT}.printers.example`), "direct");
  });

  it("is nothing that may be a secret or a made password, and nothing endless", () => {
    const TEXTS = [
      ...["", SECRET, `${SECRET}@printers.example`, "x".repeat(1025)],
      ...["kTq7RvW3mXc9PzHf4NbJ8sYd", "2AdHfTy7JmNpRtYk3Q4Ce", "0123456789abcdef01234567"],
      ...["AdHfTyJmNpRtYkQCeWvXaDFm", "user:kTq7RvW3mXc9PzHf4NbJ8sYd"],
    ];
    for (const text of TEXTS) assert.equal(bareId(text), undefined, text);
  });

  it("has the same key as with id@lookup, where there is a lookup", () => {
    for (const id of ["scanner", "scanner@printers.example", "ann"]) {
      assert.equal(usernameKey(id, "@", true), `id ${id}`);
      assert.equal(usernameKey(id, "@"), undefined);
    }
    assert.equal(usernameKey("scanner@lookup", "@", true), usernameKey("scanner", "@", true));
    assert.equal(usernameKey("a:lookup", ":"), usernameKey("a", ":", true));
    assert.equal(usernameKey(SECRET, "@", true), undefined);
    assert.equal(usernameKey(`${TENANT}@${CLIENT}`, "@", true), `${TENANT} ${CLIENT}`);
  });
});
