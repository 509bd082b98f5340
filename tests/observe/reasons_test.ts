/** Each code that the relay or a service is known to give has a word of its own for the metrics. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TABLE_TROUBLE } from "../../src/accounts/table_error.ts";
import { TOKEN_FAULTS } from "../../src/entra/claims.ts";
import { AADSTS } from "../../src/entra/entra_errors.ts";
import { BY_CODE, BY_STATUS } from "../../src/graph/graph_errors.ts";
import { NOT_SENT } from "../../src/graph/not_sent.ts";
import { type Reason, reasonOf, REASONS } from "../../src/observe/reasons.ts";
import { UNREADABLE } from "../../src/queue/verdict.ts";
import { readdirSync, readFileSync } from "node:fs";

const SRC = new URL("../../src/", import.meta.url);

/** The relay's own codes, as its source has them. */
function ownCodes(): readonly string[] {
  const folders = ["accounts", "delivery", "graph", "queue", "smtp_backend", "submission"];
  return folders.flatMap((folder) =>
    readdirSync(new URL(`${folder}/`, SRC)).filter((name) => name.endsWith(".ts")).flatMap(
      (name) => {
        const text = readFileSync(new URL(`${folder}/${name}`, SRC), "utf8");
        return [...text.matchAll(/\b(?:code(?: =|:)|unsent\() ?"([A-Z_]{3,})"/g)].map((match) =>
          match[1]!
        );
      },
    )
  );
}

describe("a reason", () => {
  it("is known for each code", () => {
    const codes = [
      ...Object.keys(BY_CODE),
      ...Object.keys(BY_STATUS).map((status) => `HTTP ${status}`),
      ...Object.keys(NOT_SENT),
      ...Object.keys(AADSTS).map((number) => `AADSTS${number}`),
      ...Object.keys(TABLE_TROUBLE),
      ...Object.keys(TOKEN_FAULTS),
      ...Object.values(UNREADABLE),
      // A message that is sent has none.
      ...ownCodes().filter((code) => code !== "FOUND"),
    ];
    assert.ok(codes.length > 80);
    assert.deepEqual(codes.filter((code) => reasonOf(code) === "other"), []);
  });

  it("tells the codes apart that ask for different remedies", () => {
    const cases: readonly (readonly [code: string, reason: Reason])[] = [
      ["AADSTS7000222", "secret_expired"],
      ["AADSTS7000215", "secret_wrong"],
      ["AADSTS700016", "app"],
      ["AADSTS90002", "tenant"],
      ["AADSTS53003", "conditional_access"],
      ["AADSTS99999", "login"],
      ["invalid_client", "login"],
      ["TOKEN_EXPIRED", "token"],
      ["NO_ENTRY", "entry"],
      ["HTTP 403", "permission"],
      ["HTTP 429", "throttled"],
      ["HTTP 503", "service"],
      ["HTTP 599", "service"],
      ["ECONNRESET", "network"],
      ["ENOTFOUND", "network"],
      ["ETIMEDOUT", "network"],
      ["PROXY_407", "network"],
      ["CERT_HAS_EXPIRED", "network"],
      ["SQLITE_FULL", "store"],
      ["EROFS", "store"],
      ["ErrorQuotaExceeded", "quota"],
      ["ErrorNobodyKnows", "other"],
      ["", "other"],
    ];
    for (const [code, reason] of cases) assert.equal(reasonOf(code), reason, code);
  });

  it("is no name of an object's own", () => {
    for (const code of ["constructor", "__proto__", "toString"]) {
      assert.equal(reasonOf(code), "other");
    }
    assert.ok(Object.keys(REASONS).every((reason) => /^[a-z_]+$/.test(reason)));
  });
});
