/**
 * deploy/azure, held against the program. There is no compiler for Bicep here: what can be looked
 * at in its text is examined, and the file says itself that it was not compiled.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { loadSettings } from "../../src/settings/load.ts";
import { SETTINGS } from "../../src/settings/schema.ts";

const FILE = fileURLToPath(new URL("../../deploy/azure/container-app.bicep", import.meta.url));
const text = readFileSync(FILE, "utf8");
const code = text.replace(/^\s*\/\/.*$/gm, "");

/** What stands for the values that only a deployment has. */
const DEPLOYED: Readonly<Record<string, string>> = {
  hostname: "smtp.example.com",
  certificateName: "smtp-relay",
  "vault.properties.vaultUri": "https://example.vault.azure.net/",
  "identity.properties.clientId": "00000000-0000-0000-0000-000000000000",
  "storage.properties.primaryEndpoints.table": "https://example.table.core.windows.net/",
};
const variables = new Map(
  [...code.matchAll(/^var (\w+) = '?([^'\n]+)'?$/gm)].map(([, name, value]) => [name!, value!]),
);

function valueOf(expression: string): string {
  const resolve = (name: string) => DEPLOYED[name] ?? variables.get(name) ?? `?${name}`;
  const literal = /^'(.*)'$/.exec(expression)?.[1];
  if (literal === undefined) return resolve(expression);
  return literal.replace(/\$\{([\w.]+)\}/g, (_, name) => resolve(name));
}

const environment = Object.fromEntries(
  [...code.matchAll(/\{ name: '([A-Z_]+)', (?:value: (.+)|secretRef: '[\w-]+') \}/g)]
    .map(([, name, value]) => [name!, value === undefined ? "a secret" : valueOf(value)]),
);
/** Read by the Azure SDK, not by us. */
const OF_THE_SDK = new Set(["AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS"]);

describe("container-app.bicep", () => {
  it("says that it was not compiled", () => assert.match(text, /NOT COMPILED AND NOT RUN/));

  it("has its brackets in pairs, and no name that it does not declare", () => {
    const bare = code.replace(/'[^']*'/g, "");
    for (const [open, close] of ["{}", "[]", "()"]) {
      assert.equal(bare.split(open!).length, bare.split(close!).length, `${open}${close}`);
    }
    const declared = [...code.matchAll(/^ *(?:param|var|resource|output) (\w+) /gm)].map(([, n]) =>
      n!
    );
    assert.equal(new Set(declared).size, declared.length);
    for (const name of declared.filter((name) => !["relay", "address", "table"].includes(name))) {
      assert.ok(code.split(new RegExp(`\\b${name}\\b`)).length > 2, `${name} is not used`);
    }
    assert.ok(!Object.values(environment).some((value) => value.includes("?")), "undeclared");
  });

  it("has settings that the relay takes", () => {
    assert.ok(Object.keys(environment).length > 10);
    for (const name of Object.keys(environment)) {
      assert.ok(name in SETTINGS || OF_THE_SDK.has(name), `${name} is no setting`);
    }
    const loaded = loadSettings(environment);
    assert.ok(loaded.type === "settings", JSON.stringify(loaded));
    assert.deepEqual(loaded.warnings, []);
    const { settings } = loaded;
    assert.equal(settings.SMTP_LISTEN[0]!.port, Number(variables.get("smtpPort")));
    assert.equal(settings.MAX_CONNECTIONS_PER_IP, settings.MAX_CONNECTIONS);
    const grace = Number(/terminationGracePeriodSeconds: (\d+)/.exec(code)?.[1]) * 1000;
    assert.ok(grace > settings.SHUTDOWN_TIMEOUT + 3_000, `${grace} ms`);
    const replicas = Number(/maxReplicas: (\d+)/.exec(code)?.[1]);
    assert.equal(replicas * settings.GRAPH_CONCURRENCY, 4);
  });

  it("sends probes and clients to the ports that the relay listens on", () => {
    const probes = [...code.matchAll(/httpGet: \{ path: '(\/\w+)', port: (\w+) \}/g)];
    assert.deepEqual(probes.map(([, path]) => path), ["/healthz", "/readyz", "/healthz"]);
    assert.ok(probes.every(([, , port]) => port === "httpPort"));
    const targets = [...code.matchAll(/targetPort: (\w+)\s+exposedPort: (\d+)/g)];
    assert.deepEqual(targets.map(([, target, exposed]) => `${exposed} ${target}`), [
      "587 smtpPort",
      "25 smtpPort",
      "465 smtpsPort",
    ]);
  });
});
