/**
 * What we ship logs each message (LOG_LEVEL=INFO): the image, the unit, compose, the manifests, and every example
 * in the pages that starts the relay. Only the bare default is WARNING, as in the Python relay.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { SETTINGS } from "../../src/settings/schema.ts";
import { SETTINGS_FILE } from "../../src/windows/names.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

/** Paths of files whose names end so. */
function under(folder: string, ending: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(ending)).map((path) => join(folder, path));
}

describe("LOG_LEVEL", () => {
  it("is WARNING where nothing sets it", () =>
    assert.equal(SETTINGS.LOG_LEVEL.standard, "WARNING"));

  it("is INFO in the image", () => {
    assert.match(read("Containerfile").split(/^FROM /m).at(-1)!, /^ENV LOG_LEVEL=INFO$/m);
  });

  it("is INFO in the unit, and the file with the settings goes before it", () => {
    // systemd.exec(5): settings from EnvironmentFile= override those of Environment=.
    const unit = read("deploy/systemd/smtp-oauth-relay.service");
    assert.match(unit, /^Environment=LOG_LEVEL=INFO$/m);
    assert.match(unit, /^EnvironmentFile=-\/etc\/smtp-oauth-relay\/environment$/m);
  });

  it("is INFO under compose", () => {
    const { services } = parse(read("deploy/compose.yaml"));
    for (const { environment } of Object.values<{ environment: unknown }>(services)) {
      assert.equal((environment as Record<string, string>)["LOG_LEVEL"], "INFO");
    }
  });

  it("is INFO in the manifests, and no overlay sets another", () => {
    const { configMapGenerator } = parse(read("deploy/kubernetes/base/kustomization.yaml"));
    const literals = configMapGenerator.flatMap(({ literals }: { literals: string[] }) => literals);
    assert.ok(literals.includes("LOG_LEVEL=INFO"), String(literals));
    for (const path of under("deploy/kubernetes/overlays", ".yaml")) {
      assert.ok(!read(path).includes("LOG_LEVEL"), path);
    }
    assert.match(read("deploy/azure/container-app.bicep"), /name: 'LOG_LEVEL', value: 'INFO'/);
  });

  it("is INFO in the first settings of Homebrew and of Windows", () => {
    assert.match(read("deploy/homebrew/smtp-oauth-relay.rb"), /^ +LOG_LEVEL=INFO$/m);
    assert.match(SETTINGS_FILE, /^LOG_LEVEL=INFO$/m);
  });

  it("is INFO in the chart and in the template of Azure's button", () => {
    assert.match(read("deploy/helm/smtp-oauth-relay/values.yaml"), /^ +LOG_LEVEL: INFO$/m);
    assert.match(
      read("deploy/azure/container-app.json"),
      /"name": "LOG_LEVEL",\s+"value": "INFO"/,
    );
  });

  describe("in the pages", () => {
    const STARTS = /(?:^|[ \\/])smtp-oauth-relay(?:\.exe)?(?: serve)?(?: +#.*)?$/;
    /** With the image, the unit, the formula or the service of Windows, which have it, or with a file of settings; or the line starts nothing. */
    const HAS_IT =
      /\b(?:podman|docker|buildah|systemctl|setup\.sh|cp|install -m|install -D|brew|Start-Service)\b|--env-file|^ *-v |^ *[#$]|^ *(?:rm|cd|apt|dnf|zypper|rpm) /;
    const pages = ["README.md", ...under("docs", ".md"), ...under("deploy", ".md")];
    const blocks = pages.flatMap((page) =>
      [...read(page).matchAll(/^( *)```(?:sh|powershell|console|xml)\n([\s\S]*?)^\1```/gm)]
        .map(([, , text]) => ({ page, text: text! }))
    );
    const examples = blocks.filter(({ text }) =>
      text.split("\n").some((line) => STARTS.test(line) && !HAS_IT.test(line)) ||
      /<arguments>serve|\bnssm install/.test(text)
    );

    it("has examples", () => assert.ok(examples.length >= 3, String(examples.length)));

    for (const { page, text } of examples) {
      it(`is INFO in the example of ${page}: ${text.trim().split("\n").at(-1)}`, () => {
        assert.match(text, /\bLOG_LEVEL\b(?:" value="|=| = ")INFO\b/);
      });
    }
  });
});
