// The list of what the executables consist of, made of the lock file that is there.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import * as Spec from "@cyclonedx/cyclonedx-library/Spec";
import * as Validation from "@cyclonedx/cyclonedx-library/Validation";
import { type Lock, readLock } from "../../scripts/build/lock.ts";
import { sbom } from "../../scripts/build/sbom.ts";
import { TARGETS } from "../../scripts/build/targets.ts";

const lock = readLock(fileURLToPath(new URL("../../", import.meta.url)));
const FILES = ["src/main.ts", "node_modules/pino/pino.js", "node_modules/@azure/identity/index.js"];

interface Component {
  readonly name: string;
  readonly purl: string;
  readonly "bom-ref": string;
  readonly scope: string;
  readonly licenses?: readonly unknown[];
  readonly hashes: readonly { readonly alg: string; readonly content: string }[];
}
interface Bom {
  readonly metadata: { readonly component: { readonly version: string } };
  readonly components: readonly Component[];
  readonly dependencies: readonly {
    readonly ref: string;
    readonly dependsOn?: readonly string[];
  }[];
}

const text = sbom(lock, "0123456789ab", FILES);
const bom = JSON.parse(text) as Bom;
const byRef = new Map(bom.components.map((component) => [component["bom-ref"], component]));

/** @returns null where all is well */
function validate(json: string): Promise<unknown> {
  return new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(json);
}

describe("the list of what is in the executables (SBOM)", () => {
  it("obeys the schema of CycloneDX 1.6", async () => {
    assert.equal(await validate(text), null);
    // The schema is really asked.
    assert.notEqual(await validate(JSON.stringify({ ...bom, surplus: true })), null);
  });

  it("is the same twice, whatever the order of the files", () => {
    assert.equal(sbom(lock, "0123456789ab", FILES.toReversed()), text);
    assert.doesNotMatch(text, /timestamp|serialNumber/);
  });

  it("has every package that the lock file has for production, and no other but Bun", () => {
    const production = Object.entries(lock.packages)
      .filter(([place, { dev }]) => place !== "" && dev !== true)
      .map(([place]) => place.replaceAll("node_modules/", ""));
    const runtimes = TARGETS.map((target) => target.package);
    assert(production.length > 50 && production.includes("@azure/identity"));
    assert.deepEqual([...byRef.keys()].sort(), [...production, ...runtimes].sort());
  });

  it("gives each one's place in npm, its licence and its hash", () => {
    const identity = byRef.get("@azure/identity")!;
    const { version, integrity } = lock.packages["node_modules/@azure/identity"]!;
    assert.equal(identity.purl, `pkg:npm/%40azure/identity@${version}`);
    assert.deepEqual(identity.licenses, [{ license: { id: "MIT" } }]);
    assert.deepEqual(identity.hashes, [{
      alg: "SHA-512",
      content: Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex"),
    }]);
    for (const component of bom.components) {
      assert.equal(component.hashes.length, 1, component.purl);
      assert(component.licenses, component.purl);
    }
  });

  it("separates what is bundled from what is left out", () => {
    const scope = (name: string) => byRef.get(name)!.scope;
    assert.deepEqual(["pino", "@azure/identity", "thread-stream"].map(scope), [
      "required",
      "required",
      "excluded",
    ]);
  });

  it("gives the dependencies", () => {
    const needs = (ref: string) =>
      bom.dependencies.find((dependency) => dependency.ref === ref)!.dependsOn!;
    assert(needs("smtp-oauth-relay").includes("@azure/identity"));
    assert(needs("smtp-oauth-relay").includes("@oven/bun-linux-x64"));
    assert(needs("@azure/identity").includes("@azure/msal-node"));
    for (const { ref, dependsOn = [] } of bom.dependencies) {
      for (const name of dependsOn) assert(byRef.has(name), `${ref} needs ${name}`);
    }
  });

  it("finds of two versions the one that Node would find", () => {
    const at = (version: string) => ({ version, integrity: "sha512-AA==", license: "MIT" });
    const made: Lock = {
      name: "program",
      version: "1.0.0",
      packages: {
        ...Object.fromEntries(TARGETS.map((own) => [`node_modules/${own.package}`, at("1.0.0")])),
        "": { ...at("1.0.0"), dependencies: { a: "1", b: "1" } },
        "node_modules/a": { ...at("1.0.0"), dependencies: { b: "2", c: "1" } },
        "node_modules/a/node_modules/b": at("2.0.0"),
        "node_modules/a/node_modules/c": { ...at("1.0.0"), dependencies: { b: "2" } },
        "node_modules/b": at("1.0.0"),
      },
    };
    const { dependencies } = JSON.parse(sbom(made, "", [])) as Bom;
    const needs = Object.fromEntries(dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
    assert.deepEqual(needs["a"], ["a/b", "a/c"]);
    assert.deepEqual(needs["a/c"], ["a/b"]);
    assert.deepEqual(needs["program"]!.filter((ref) => !ref.startsWith("@oven/")), ["a", "b"]);
  });
});
