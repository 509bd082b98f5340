/**
 * winget's manifests of a release, field by field. tests/deploy/published_schemas.ts holds them against winget's
 * own schemas.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse } from "yaml";
import { repositoryOf } from "../../scripts/release/repository.mjs";
import {
  make,
  type Manifest,
  METADATA,
  NEW,
  Releases,
  ROOT,
  sumOf,
  VERSION,
  ZEROS,
} from "./manifests/release.ts";

const releases = new Releases();
after(() => releases.remove());

/** https://github.com/microsoft/winget-pkgs/tree/master/doc/manifest/schema/1.6.0 */
const COMMON_FIELDS: Record<string, RegExp> = {
  PackageIdentifier: /^[^.\s\\/:*?"<>|]{1,32}(?:\.[^.\s\\/:*?"<>|]{1,32}){1,7}$/,
  PackageVersion: /^[^\\/:*?"<>|]{1,128}$/,
  ManifestType: /^(?:version|installer|defaultLocale)$/,
  ManifestVersion: /^1\.6\.0$/,
};
const URL_FORM = /^https:\/\/\S{1,2000}$/;
const FIELDS: Record<string, Record<string, RegExp>> = {
  version: { DefaultLocale: /^en-US$/ },
  installer: {
    Platform: /^Windows\.(?:Desktop|Universal)$/,
    MinimumOSVersion: /^\d+(?:\.\d+){0,3}$/,
    InstallerType: /^(?:portable|zip|msi|exe)$/,
    Scope: /^machine$/,
    Installers: /"Architecture":"x64"/,
  },
  defaultLocale: {
    PackageLocale: /^en-US$/,
    Publisher: /^.{2,256}$/,
    PublisherUrl: URL_FORM,
    PublisherSupportUrl: URL_FORM,
    PackageName: /^.{2,256}$/,
    PackageUrl: URL_FORM,
    License: /^.{3,512}$/,
    LicenseUrl: URL_FORM,
    ShortDescription: /^.{3,256}$/,
    Description: /^[^]{3,10000}$/,
    Moniker: /^.{1,40}$/,
    Tags: /^.{1,40}$/,
    ReleaseNotesUrl: URL_FORM,
    Documentations: /^\{"DocumentLabel":"[^"]{1,100}","DocumentUrl":"https:[^"]+"\}$/,
  },
};

describe("winget's manifests", () => {
  let manifests: Record<string, Manifest>;
  let folder: string;
  before(() => {
    folder = releases.add("winget");
    assert.equal(make(folder).status, 0);
    const names = NEW.filter((name) => name.endsWith(".yaml"));
    manifests = Object.fromEntries(names.map((name) => {
      const manifest = parse(readFileSync(join(folder, name), "utf8"));
      return [manifest.ManifestType, { name, ...manifest }];
    }));
  });

  it("are three, each with the fields of its kind in their form", () => {
    assert.deepEqual(Object.keys(manifests).sort(), Object.keys(FIELDS).sort());
    for (const [type, { name, ...manifest }] of Object.entries(manifests)) {
      const fields: Record<string, RegExp> = { ...COMMON_FIELDS, ...FIELDS[type] };
      assert.deepEqual(Object.keys(manifest).sort(), Object.keys(fields).sort(), name);
      for (const [field, form] of Object.entries(fields)) {
        for (const value of Array.isArray(manifest[field]) ? manifest[field] : [manifest[field]]) {
          const text = typeof value === "string" ? value : JSON.stringify(value);
          assert.match(text, form, `${name}: ${field}`);
        }
      }
      const text = readFileSync(join(folder, name), "utf8");
      const schema = `https://aka.ms/winget-manifest.${type}.1.6.0.schema.json`;
      assert.ok(text.startsWith(`# yaml-language-server: $schema=${schema}\n`), name);
    }
    const { Tags } = manifests["defaultLocale"];
    assert.ok(Tags.length <= 16 && new Set(Tags).size === Tags.length);
  });

  it("are of one package and version, and named by it", () => {
    for (const { name, PackageIdentifier, PackageVersion } of Object.values(manifests)) {
      assert.ok(name.startsWith(`${PackageIdentifier}.`), name);
      assert.equal(PackageVersion, VERSION);
    }
    const { DefaultLocale, PackageIdentifier } = manifests["version"];
    assert.equal(manifests["defaultLocale"].PackageLocale, DefaultLocale);
    assert.equal(
      manifests["defaultLocale"].name,
      `${PackageIdentifier}.locale.${DefaultLocale}.yaml`,
    );
  });

  it("have the installer of the release with its checksum", () => {
    const { Installers, InstallerType, Scope } = manifests["installer"];
    const file = "smtp-oauth-relay-windows-x64.msi";
    const repository = repositoryOf(METADATA);
    assert.deepEqual(Installers, [{
      Architecture: "x64",
      InstallerUrl: `https://github.com/${repository}/releases/download/v${VERSION}/${file}`,
      InstallerSha256: sumOf(join(folder, file)).toUpperCase(),
    }]);
    assert.deepEqual([InstallerType, Scope], ["msi", "machine"]);
    const text = readFileSync(
      join(ROOT, "deploy/winget", manifests["installer"].name),
      "utf8",
    );
    assert.ok(text.includes(`InstallerSha256: "${ZEROS}"`));
  });

  it("lead to pages that are there", () => {
    const { Documentations, LicenseUrl } = manifests["defaultLocale"];
    for (const url of [LicenseUrl, ...Documentations.map((one: Manifest) => one.DocumentUrl)]) {
      const [, path] = /\/blob\/main\/(.+)$/.exec(url) ?? [];
      assert.ok(path !== undefined && existsSync(join(ROOT, path)), url);
    }
  });
});
