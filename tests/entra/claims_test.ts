/** The claims that a client's token must have before it is used. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { CLOCK_SKEW, EXCHANGE_SCOPES, readClaims, TOKEN_FAULTS } from "../../src/entra/claims.ts";
import { cloudOf } from "../../src/settings/clouds.ts";
import type { Settings } from "../../src/settings/schema.ts";
import { CLIENT, TENANT } from "../support/logins.ts";
import { jwt } from "../support/tokens.ts";

const NOW = Date.UTC(2026, 10, 23, 8);
const { graphAudiences: AUDIENCES } = cloudOf({ AZURE_CLOUD: "public" } as Settings);

/** A user's token as Entra ID makes them, of version 1.0. */
const GOOD = {
  aud: "https://graph.microsoft.com",
  iss: `https://sts.windows.net/${TENANT}/`,
  nbf: NOW / 1000 - 300,
  exp: NOW / 1000 + 3600,
  tid: TENANT,
  appid: CLIENT,
  scp: "openid Mail.Send profile",
};

function read(token: string, now = NOW) {
  return readClaims(token, AUDIENCES, now);
}

function faultOf(token: string, now = NOW): string | undefined {
  const claims = read(token, now);
  if (!("code" in claims)) return undefined;
  assert.ok(claims.code in TOKEN_FAULTS);
  assert.match(claims.detail, /^[\x20-\x7e]+$/);
  return claims.code;
}

describe("a client's token", () => {
  it("is taken with all that Entra ID puts into it", () => {
    assert.deepEqual(read(jwt(GOOD)), {
      tenantId: TENANT,
      clientId: CLIENT,
      expiresAt: NOW + 3_600_000,
    });
  });

  const CASES: readonly [what: string, change: Record<string, unknown>, fault?: string][] = [
    ["the audience with a slash", { aud: "https://graph.microsoft.com/" }],
    ["the audience as Graph's application id", { aud: "00000003-0000-0000-c000-000000000000" }],
    ["Outlook's audience", { aud: "https://outlook.office365.com" }, "TOKEN_AUDIENCE"],
    ["another cloud's audience", { aud: "https://graph.microsoft.us" }, "TOKEN_AUDIENCE"],
    ["a look-alike audience", { aud: "https://graph.microsoft.com.evil.test" }, "TOKEN_AUDIENCE"],
    ["an audience that would end a line", { aud: "x\r\n250 OK\x1b[2J é" }, "TOKEN_AUDIENCE"],
    ["an app's audience", { aud: `api://${CLIENT}` }, "TOKEN_AUDIENCE"],
    ["no audience", { aud: undefined }, "TOKEN_MALFORMED"],
    ["several audiences", { aud: ["https://graph.microsoft.com"] }, "TOKEN_MALFORMED"],
    ["no end", { exp: undefined }, "TOKEN_MALFORMED"],
    ["an end in words", { exp: "tomorrow" }, "TOKEN_MALFORMED"],
    ["an end beyond all dates", { exp: 1e300 }, "TOKEN_MALFORMED"],
    ["an end before all dates", { exp: -1 }, "TOKEN_MALFORMED"],
    ["its last second within the skew", { exp: (NOW - CLOCK_SKEW) / 1000 + 1 }],
    ["its end just beyond the skew", { exp: (NOW - CLOCK_SKEW) / 1000 }, "TOKEN_EXPIRED"],
    ["its end yesterday", { exp: NOW / 1000 - 86_400 }, "TOKEN_EXPIRED"],
    ["no beginning", { nbf: undefined }],
    ["a beginning in words", { nbf: "now" }, "TOKEN_MALFORMED"],
    ["a beginning within the skew", { nbf: (NOW + CLOCK_SKEW) / 1000 }],
    ["a beginning beyond it", { nbf: (NOW + CLOCK_SKEW) / 1000 + 1 }, "TOKEN_NOT_YET_VALID"],
    ["no tenant", { tid: undefined }, "TOKEN_MALFORMED"],
    ["a tenant that is no UUID", { tid: "contoso.com" }, "TOKEN_MALFORMED"],
    ["a tenant that is no text", { tid: [TENANT] }, "TOKEN_MALFORMED"],
    ["the app as azp, as in version 2.0", { appid: undefined, azp: CLIENT }],
    ["ids in upper case", { tid: TENANT.toUpperCase(), appid: CLIENT.toUpperCase() }],
    ["no app", { appid: undefined }, "TOKEN_MALFORMED"],
    ["an app that is no UUID", { appid: "Graph Explorer" }, "TOKEN_MALFORMED"],
    ["an app's own roles", { scp: undefined, roles: ["Mail.Send"] }],
    // RBAC for Applications: the right to send is not in the token.
    ["an app's own, without roles", { scp: undefined }],
    ["the right to send for others", { scp: "Mail.Send.Shared" }],
    ["a user's scopes without sending", { scp: "Mail.Read User.Read" }, "TOKEN_SCOPE"],
    ["a scope that only begins so", { scp: "Mail.SendX" }, "TOKEN_SCOPE"],
    ["scopes that are no text", { scp: 7 }, "TOKEN_SCOPE"],
  ];
  for (const [what, change, fault] of CASES) {
    it(`with ${what}: ${fault ?? "taken"}`, () => {
      assert.equal(faultOf(jwt({ ...GOOD, ...change })), fault);
    });
  }

  it("of a user for Exchange by SMTP has the scope of mail programs", () => {
    const { exchangeAudiences } = cloudOf({ AZURE_CLOUD: "public" } as Settings);
    const faultOf = (scp: string) => {
      const token = jwt({ ...GOOD, aud: "https://outlook.office.com", scp });
      const claims = readClaims(token, exchangeAudiences, NOW, EXCHANGE_SCOPES);
      return "code" in claims ? claims.code : undefined;
    };
    assert.equal(faultOf("SMTP.Send"), undefined);
    assert.equal(faultOf("IMAP.AccessAsUser.All"), "TOKEN_SCOPE");
    assert("code" in read(jwt({ ...GOOD, scp: "SMTP.Send" })));
  });

  it("ends when its own time is over, whatever it was before", () => {
    const token = jwt(GOOD);
    assert.equal(faultOf(token, NOW + 3_600_000), undefined);
    assert.equal(faultOf(token, NOW + 3_600_000 + CLOCK_SKEW), "TOKEN_EXPIRED");
  });

  const good = jwt(GOOD).split(".");
  const MALFORMED: Readonly<Record<string, string>> = {
    "nothing": "",
    "a password": "any-secret",
    "an opaque token of a personal account": `EwB${"x".repeat(900)}`,
    "two parts": good.slice(0, 2).join("."),
    "five parts, as an encrypted one": [...good, "a", "b"].join("."),
    "an empty signature": `${good[0]}.${good[1]}.`,
    "a payload that is no base64url": `${good[0]}.e30=.${good[2]}`,
    "a payload that is no JSON": `${good[0]}.bm9uc2Vuc2U.${good[2]}`,
    "a payload that is null": `${good[0]}.bnVsbA.${good[2]}`,
    "a payload that is a list": `${good[0]}.W10.${good[2]}`,
    "a header that is no JSON": `bm9uc2Vuc2U.${good[1]}.${good[2]}`,
    "JSON nested without end": `${good[0]}.${btoa("[".repeat(6000)).replaceAll("=", "")}.${
      good[2]
    }`,
    "12 KB of one part": "A".repeat(12_000),
  };
  for (const [what, token] of Object.entries(MALFORMED)) {
    it(`that is ${what}: TOKEN_MALFORMED`, () => assert.equal(faultOf(token), "TOKEN_MALFORMED"));
  }

  it("never makes it throw, and never shows in what is said of it", () => {
    const value = fc.oneof(fc.jsonValue(), fc.constant(TENANT), fc.constant(GOOD.exp));
    const claims = fc.dictionary(
      fc.constantFrom("aud", "exp", "nbf", "tid", "appid", "azp", "scp", "roles", "__proto__"),
      value,
    );
    const signature = "c2lnbmF0dXJl";
    const token = fc.oneof(
      claims.map((some) => jwt({ ...GOOD, ...some }, signature)),
      claims.map((some) => jwt(some, signature)),
      fc.array(fc.base64String(), { maxLength: 5 }).map((parts) => parts.join(".")),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(token, (it) => {
        const said = read(it);
        if ("code" in said) assert.ok(!said.detail.includes(signature));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("Graph's audiences", () => {
  for (
    const [cloud, origin] of [
      ["public", "https://graph.microsoft.com"],
      ["usgov", "https://graph.microsoft.us"],
      ["usgov-dod", "https://dod-graph.microsoft.us"],
      ["china", "https://microsoftgraph.chinacloudapi.cn"],
    ] as const
  ) {
    it(`are those of the cloud ${cloud}`, () => {
      const { graphAudiences } = cloudOf({ AZURE_CLOUD: cloud } as Settings);
      assert.deepEqual([...graphAudiences], [
        origin,
        `${origin}/`,
        "00000003-0000-0000-c000-000000000000",
      ]);
    });
  }
});
