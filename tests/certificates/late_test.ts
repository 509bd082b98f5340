/**
 * What only Key Vault and identities need is loaded late: a relay without them imports none of their
 * packages. Held by the sources: none is imported but by `import()` in a function, or as a type.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("../../src", import.meta.url));
/** Named without their path inside the package. */
const LATE = /^(?:@azure\/(?!msal-node)[^/]+|node-forge)/;
/** Modules of ours that may import them at once, because they are themselves imported late. */
const LATE_MODULES = ["certificates/keyvault.ts", "certificates/pkcs12.ts"];

function files(folder = SOURCE): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return files(path);
    return entry.name.endsWith(".ts") ? [path] : [];
  });
}

/** Without types, which are gone at run time. */
function importsOf(path: string): string[] {
  const text = readFileSync(path, "utf8").replace(/^(?:import|export) type [\s\S]*?;$/gm, "");
  return [...text.matchAll(/^(?:import|export)\b[^;]*?from "([^"]+)";$/gm)].map(([, name]) =>
    name!
  );
}

describe("packages for Azure, and for PKCS#12", () => {
  it("are imported by no module at once", () => {
    for (const path of files()) {
      for (const name of importsOf(path)) {
        assert.ok(!LATE.test(name), `${path} imports ${name} at once`);
      }
    }
  });

  it("are in modules that are imported late themselves", () => {
    for (const path of files()) {
      for (const name of importsOf(path)) {
        assert.ok(!LATE_MODULES.some((late) => join(path, "..", name).endsWith(late)), path);
      }
    }
  });
});
