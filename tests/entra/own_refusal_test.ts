import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refusalFor } from "../../src/entra/entra_errors.ts";
import { ownRefusal } from "../../src/entra/own_refusal.ts";

const APP = {
  tenantId: "contoso.onmicrosoft.com",
  clientId: "87654321-4321-4321-4321-cba987654321",
};
const ASSERTION = {
  issuer: "https://cluster.example/",
  subject: "system:serviceaccount:mail:relay",
  audience: "api://AzureADTokenExchange",
  notAfter: Date.UTC(2026, 10, 30, 4),
};
const FACTS = { name: "workload-identity", source: "file", assertion: ASSERTION } as const;

function detailFor(number: number): string {
  const refusal = refusalFor({ status: 401, error: "invalid_client", numbers: [number] });
  const { type, reply, detail, credential } = ownRefusal(refusal, FACTS, APP, 0);
  assert.deepEqual([type, reply.code, credential], ["later", 454, "workload-identity"]);
  return detail;
}

describe("a refusal of the relay's own assertion", () => {
  // The last two: https://github.com/Azure/login/issues/517, where case is what differs.
  for (const number of [70021, 700211, 700212, 700213, 7002137, 7002138]) {
    it(`with AADSTS${number} says which federated credential the app needs`, () => {
      const { issuer, subject, audience } = ASSERTION;
      const values = `with issuer "${issuer}", subject "${subject}" and audience "${audience}"`;
      assert(detailFor(number).includes(`to the app ${APP.clientId}, ${values}`));
    });
  }

  it("because of its time says when it ends, and not that the app does not trust it", () => {
    const detail = detailFor(700024);
    assert.match(detail, /; the assertion ends at 2026-11-30T04:00:00\.000Z: compare .* clock/);
    assert.doesNotMatch(detail, /federated credential/);
  });

  it("for another reason promises no remedy", () => {
    assert.doesNotMatch(detailFor(700222), /federated credential/);
  });
});
