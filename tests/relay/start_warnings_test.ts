// What the log says at each start, because it is easily overlooked in the settings.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OwnCredentials } from "../../src/entra/relay_credentials.ts";
import { fixedSecret } from "../../src/entra/fixed_secret.ts";
import { warnOfUnsetCredentials } from "../../src/relay/start_warnings.ts";
import { Secret } from "../../src/secret.ts";

const rows = [
  { id: "classic", columns: {} },
  { id: "printer", columns: { credential: "certificate" } },
  { id: "scanner", columns: { credential: "secret" } },
  { id: "nas", columns: { credential: "certificate" } },
];

function warningsFor(own: OwnCredentials, file: { rows: typeof rows } | undefined) {
  const lines: [string, unknown][] = [];
  warnOfUnsetCredentials(file, own, {
    warning: (message: string, fields?: unknown) => void lines.push([message, fields]),
  });
  return lines;
}

describe("entries of LOOKUP_FILE whose credential is not set", () => {
  it("are counted at the start, with the settings that they need", () => {
    const own = new OwnCredentials([fixedSecret(new Secret("s"))]);
    assert.deepEqual(warningsFor(own, { rows }), [[
      'Logins of entries with the credential "certificate" are deferred: set ' +
      "CLIENT_CERTIFICATE_FILEPATH and CLIENT_KEY_FILEPATH, or AZURE_KEY_VAULT_CLIENT_CERT_NAME",
      { entries: 2, first: "printer" },
    ]]);
    assert.equal(warningsFor(new OwnCredentials(), { rows }).length, 2);
  });

  it("are none without the file, and where each credential is set", () => {
    const own = new OwnCredentials([fixedSecret(new Secret("s"))]);
    assert.deepEqual(warningsFor(own, undefined), []);
    assert.deepEqual(warningsFor(own, { rows: [rows[0]!, rows[2]!] }), []);
  });
});
