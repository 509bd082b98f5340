// The relay's own credentials: what `check` makes of their ends and of Entra ID's refusals.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { judgeFacts, judgeToken, unset } from "../../src/check/credential_findings.ts";
import { judgeRefusal } from "../../src/check/login_findings.ts";
import { credentialUnset, refusalFor, unasked, unreachable } from "../../src/entra/entra_errors.ts";
import { ownRefusal } from "../../src/entra/own_refusal.ts";
import type { CredentialFacts } from "../../src/entra/proof_source.ts";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 30);
const APP = {
  tenantId: "12345678-1234-1234-1234-123456789abc",
  clientId: "87654321-4321-4321-4321-cba987654321",
};
const SHA1 = "85A0B78237AD6CF132226C770283566D7A01F01C";
const SHA256 = "85E2E8099838AC8C6E6C51D4B1C04BED5CBF2F774547B5CF057E670157690FC7";

const certificate = (from: number, until: number): CredentialFacts => ({
  name: "certificate",
  source: "file",
  certificate: {
    thumbprint: SHA256,
    sha1: SHA1,
    notBefore: NOW + from * DAY,
    notAfter: NOW + until * DAY,
  },
});
const identity: CredentialFacts = {
  name: "managed-identity",
  source: "identity",
  assertion: {
    issuer: `https://login.microsoftonline.com/${APP.tenantId}/v2.0`,
    subject: "0a1b2c3d-0000-4000-8000-000000000002",
    audience: "api://AzureADTokenExchange",
    notAfter: NOW + DAY,
  },
};
const secret: CredentialFacts = { name: "secret", source: "setting" };

describe("the end of the relay's own certificate", () => {
  const cases = [
    [-1, 364, "credential.found", /valid until 2027-11-29, 364 days left/],
    [-1, 30, "credential.found", /30 days left/],
    [-1, 29.9, "credential.expires-soon", /29 days left/],
    [-365, 0, "credential.expired", /ended on 2026-11-30/],
    [1, 365, "credential.not-yet-valid", /is not valid before 2026-12-01/],
  ] as const;
  for (const [from, until, code, what] of cases) {
    it(`is ${code} ${until} days before it`, () => {
      const [finding, ...others] = judgeFacts(certificate(from, until), NOW);
      assert.deepEqual([finding!.code, others], [code, []]);
      assert.match(finding!.what, what);
      assert.ok(finding!.what.includes(SHA1) && finding!.what.includes(SHA256));
    });
  }

  it("is unknown for a secret and an identity", () => {
    assert.deepEqual([...judgeFacts(secret, NOW), ...judgeFacts(identity, NOW)], []);
  });
});

describe("a credential that Entra ID refuses", () => {
  const judge = (number: number, facts: CredentialFacts) => {
    const refusal = refusalFor({ status: 401, error: "invalid_client", numbers: [number] });
    const own = refusal.type === "later" ? refusal : ownRefusal(refusal, facts, APP, NOW);
    return judgeToken(own, facts, APP, NOW);
  };
  const valid = certificate(-1, 364);

  const cases: readonly (readonly [number, CredentialFacts, string])[] = [
    [700027, valid, "credential.unregistered"],
    [700027, certificate(-366, -1), "credential.expired"],
    [7000222, valid, "credential.unregistered"],
    [7000222, secret, "credential.secret"],
    [7000215, secret, "credential.secret"],
    [70021, identity, "credential.untrusted"],
    [700211, identity, "credential.untrusted"],
    [700212, identity, "credential.untrusted"],
    [700213, identity, "credential.untrusted"],
    // With more words about the subject: https://github.com/Azure/login/issues/517
    [7002138, identity, "credential.untrusted"],
    [700016, valid, "credential.app"],
    [7000112, valid, "credential.app"],
    [90002, valid, "credential.app"],
    [700024, valid, "credential.time"],
    [700023, identity, "credential.cloud"],
    [53003, valid, "credential.refused"],
    [1234567, valid, "credential.refused"],
    [50196, valid, "credential.later"],
  ];
  for (const [number, facts, code] of cases) {
    it(`is ${code} with AADSTS${number} for ${facts.name}`, () => {
      const finding = judge(number, facts);
      assert.equal(finding.code, code);
      assert.equal(finding.level, "fail");
      assert.match(finding.what, new RegExp(`AADSTS${number}`));
      assert.ok(finding.what.includes(APP.clientId) && finding.what.includes(APP.tenantId));
    });
  }

  it("names the certificate to upload, by the thumbprint that the portal lists", () => {
    const { fix, what } = judge(700027, valid);
    assert.match(
      fix!,
      new RegExp(`^upload the certificate with thumbprint ${SHA1} .* to app ${APP.clientId}`),
    );
    assert.doesNotMatch(what, /upload/);
  });

  it("names exactly the issuer, subject and audience to enter", () => {
    const { issuer, subject, audience } = identity.assertion!;
    for (const number of [70021, 700211, 700212, 700213]) {
      const { fix, what } = judge(number, identity);
      assert.ok(
        fix!.includes(
          `to app ${APP.clientId} with issuer ${issuer}, subject ${subject}, audience ${audience}:`,
        ),
        `${fix}`,
      );
      assert.doesNotMatch(what, /add a federated/);
    }
  });
});

describe("a credential that is not tried", () => {
  it("is one that the machine does not provide, or that Entra ID was not asked about", () => {
    assert.equal(
      judgeToken(unasked("IDENTITY_400", "none"), identity, APP, NOW).code,
      "credential.unavailable",
    );
    assert.equal(
      judgeToken(unasked("TOKEN_FILE", "none"), identity, APP, NOW).code,
      "credential.unavailable",
    );
    assert.equal(
      judgeToken(unreachable("ETIMEDOUT", "late"), identity, APP, NOW).code,
      "credential.unavailable",
    );
  });

  it("is one that entries name and no setting configures", () => {
    const { code, what, fix } = unset("certificate", ["a", "b", "c", "d", "e", "f"]);
    assert.equal(code, "credential.unset");
    assert.match(
      what,
      /^entries "a", "b", "c", "d", "e" and 1 more of the lookup need "certificate"/,
    );
    assert.match(fix!, /^set CLIENT_CERTIFICATE_FILEPATH and CLIENT_KEY_FILEPATH, or /);
    assert.match(fix!, /smtp-oauth-relay lookup set a credential=VALUE$/);
  });
});

describe("a device's login", () => {
  const own = ownRefusal(
    refusalFor({ status: 401, error: "invalid_client", numbers: [700027] }),
    certificate(-1, 364),
    APP,
    NOW,
  );
  const unsetOne = credentialUnset("certificate");

  it("that fails by the relay's own credential does not blame the device", () => {
    for (const { code, detail } of [own, unsetOne]) {
      const failure = { type: "later", code, detail } as const;
      assert.equal(judgeRefusal(failure).code, "login.own-credential", code);
    }
  });

  it("with a wrong password, or without one in the entry, has the command for a new one", () => {
    const entry = { id: "scanner", column: "password_hash" } as const;
    const judge = (code: string) =>
      judgeRefusal({ type: "refused", code, detail: "not the password", entry });
    assert.equal(judge("WRONG_PASSWORD").code, "login.password-wrong");
    assert.equal(judge("NO_PASSWORD_HASH").code, "login.no-password");
    assert.match(judge("WRONG_PASSWORD").fix!, /smtp-oauth-relay lookup set-password scanner$/);
  });
});
