/**
 * `scripts/release/manifests.mjs`, and what it makes of a release's files: Homebrew's formula, read by Ruby and
 * installed with as much of Homebrew as it uses; winget's manifests, field by field; and Helm's chart, as Helm
 * reads it. tests/deploy/published_schemas.ts holds the manifests against winget's own schemas.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { TARGETS } from "../../scripts/build/targets.ts";
import { helm } from "../../scripts/helm.mjs";
import { withSums } from "../../scripts/release/manifests.mjs";
import { repositoryOf } from "../../scripts/release/repository.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const EXECUTABLE = join(ROOT, "dist/smtp-oauth-relay");
const METADATA = readFileSync(join(ROOT, "package.json"), "utf8");
const { version: VERSION } = JSON.parse(METADATA) as { version: string };
const ZEROS = "0".repeat(64);
const NEW = [
  `smtp-oauth-relay-${VERSION}.tgz`,
  "smtp-oauth-relay.rb",
  "SmtpOauthRelay.SmtpOauthRelay.installer.yaml",
  "SmtpOauthRelay.SmtpOauthRelay.locale.en-US.yaml",
  "SmtpOauthRelay.SmtpOauthRelay.yaml",
];

// deno-lint-ignore no-explicit-any -- what others' formats hold
type Manifest = any;

const work = mkdtempSync(join(tmpdir(), "relay-manifests-"));
after(() => rmSync(work, { recursive: true }));

const sumOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

function run(command: string, ...args: string[]) {
  const env = { ...process.env, SOURCE_DATE_EPOCH: "1767225600" };
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env });
  return { status, stdout, stderr };
}

/** A folder with a file for each system, as build and packaging leave it. */
function release(name: string): string {
  const folder = join(work, name);
  mkdirSync(folder);
  for (const { name, suffix } of TARGETS) {
    writeFileSync(join(folder, `smtp-oauth-relay-${name}${suffix}`), `for ${name}`);
  }
  writeFileSync(join(folder, "smtp-oauth-relay-windows-x64.msi"), "an installer");
  const lines = readdirSync(folder).sort().map((file) => `${sumOf(join(folder, file))}  ${file}\n`);
  writeFileSync(join(folder, "SHA256SUMS"), lines.join(""));
  return folder;
}

const make = (...args: string[]) =>
  run("node", join(ROOT, "scripts/release/manifests.mjs"), ...args);

describe("scripts/release/manifests.mjs", () => {
  it("adds what it makes to the folder and its checksums, twice the same", () => {
    const [first, second] = [release("first"), release("second")];
    for (const folder of [first, second]) {
      const { status, stdout, stderr } = make(folder);
      assert.equal(status, 0, stderr);
      assert.deepEqual(stdout.trim().split("\n"), NEW);
      assert.equal(run("node", join(ROOT, "scripts/release/sums.mjs"), folder).status, 0);
    }
    const sums = (folder: string) => readFileSync(join(folder, "SHA256SUMS"), "utf8");
    assert.equal(sums(first), sums(second));
    // Again, with an older chart about.
    const older = "smtp-oauth-relay-0.0.1.tgz";
    writeFileSync(join(first, older), "older");
    appendFileSync(join(first, "SHA256SUMS"), `${sumOf(join(first, older))}  ${older}\n`);
    assert.equal(make(first).status, 0);
    assert.equal(sums(first), sums(second));
    assert.ok(!existsSync(join(first, older)));
  });

  it("refuses a folder without sums, or without one of the executables", () => {
    const folder = release("lacking");
    const sums = join(folder, "SHA256SUMS");
    const lines = readFileSync(sums, "utf8").split("\n");
    writeFileSync(sums, lines.filter((line) => !line.endsWith("darwin-arm64")).join("\n"));
    const { status, stderr } = make(folder);
    assert.deepEqual(
      [status, stderr],
      [1, "manifests: smtp-oauth-relay-darwin-arm64 has no checksum in SHA256SUMS\n"],
    );
    assert.ok(!existsSync(join(folder, NEW[0]!)));
    rmSync(sums);
    assert.match(make(folder).stderr, /has no SHA256SUMS/);
    for (const args of [[], [folder, "more"]]) assert.equal(make(...args).status, 2);
  });

  it("refuses an address without a checksum, and the other way round", () => {
    const sums = new Map([["a", "1".repeat(64)], ["b", "2".repeat(64)]]);
    const url = (file: string) => `  url "https://git.example/${file}"`;
    const place = `  sha256 "${ZEROS}"`;
    assert.equal(
      withSums([url("a"), place, url("b"), place].join("\n"), sums),
      [url("a"), `  sha256 "${sums.get("a")}"`, url("b"), `  sha256 "${sums.get("b")}"`].join("\n"),
    );
    for (const lines of [[url("a"), url("b"), place], [url("a")], [place], [url("c"), place]]) {
      assert.throws(() => withSums(lines.join("\n"), sums), Error, lines.join());
    }
  });

  it("takes version and repository from package.json", () => {
    const clone = join(work, "clone");
    for (const path of ["scripts", "deploy/homebrew", "deploy/winget", "deploy/helm"]) {
      cpSync(join(ROOT, path), join(clone, path), { recursive: true });
    }
    const other = METADATA.replaceAll(repositoryOf(METADATA), "Some-One/relay")
      .replace(`"version": "${VERSION}"`, '"version": "77.8.9-rc.1"');
    writeFileSync(join(clone, "package.json"), other);
    const folder = release("other");
    const { status, stderr } = run("node", join(clone, "scripts/release/manifests.mjs"), folder);
    assert.equal(status, 0, stderr);
    const begin = "https://github.com/Some-One/relay/releases/download/v77.8.9-rc.1/";
    const formula = readFileSync(join(folder, "smtp-oauth-relay.rb"), "utf8");
    assert.ok(formula.includes(`url "${begin}smtp-oauth-relay-darwin-x64"`), formula);
    assert.ok(formula.includes('version "77.8.9-rc.1"'));
    const { Installers, PackageVersion } = parse(readFileSync(join(folder, NEW[2]!), "utf8"));
    assert.equal(Installers[0].InstallerUrl, `${begin}smtp-oauth-relay-windows-x64.msi`);
    assert.equal(PackageVersion, "77.8.9-rc.1");
    for (const name of NEW.slice(1)) {
      assert.doesNotMatch(readFileSync(join(folder, name), "utf8"), /REPO_OWNER|\b0\.1\.0\b/);
    }
  });
});

describe("Homebrew's formula", () => {
  const harness = join(ROOT, "tests/scripts/manifests/formula.rb");
  const name = "smtp-oauth-relay.rb";
  let folder: string;
  before(() => {
    folder = release("brew");
    assert.equal(make(folder).status, 0);
  });
  function facts(...args: string[]): Manifest {
    const { status, stdout, stderr } = run("ruby", harness, join(folder, name), ...args);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  it("is Ruby, and has zeros for checksums in the repository", () => {
    const { status, stdout, stderr } = run("ruby", "-wc", join(folder, name));
    assert.deepEqual([status, stdout, stderr], [0, "Syntax OK\n", ""]);
    const text = readFileSync(join(ROOT, "deploy/homebrew", name), "utf8");
    const sums = [...text.matchAll(/sha256 "(.*)"/g)].map(([, sum]) => sum);
    assert.deepEqual(sums, [ZEROS, ZEROS, ZEROS, ZEROS]);
  });

  for (
    const [system, cpu, target] of [
      ["macos", "arm", "darwin-arm64"],
      ["macos", "intel", "darwin-x64"],
      ["linux", "arm", "linux-arm64"],
      ["linux", "intel", "linux-x64"],
    ] as const
  ) {
    it(`has the executable of ${system} on ${cpu} with its checksum`, () => {
      const { url, sha256, version, license, desc } = facts(system, cpu);
      const file = `smtp-oauth-relay-${target}`;
      const repository = repositoryOf(METADATA);
      assert.equal(
        url,
        `https://github.com/${repository}/releases/download/v${VERSION}/${file}`,
      );
      assert.equal(sha256, sumOf(join(folder, file)));
      assert.deepEqual([version, license], [VERSION, "MIT"]);
      // `brew audit`: no article, no full stop, not more than 80 characters.
      assert.match(desc, /^(?!An? |The )[A-Z].{10,79}(?<!\.)$/);
    });
  }

  it("installs the executable, passes its own test, and keeps settings on an upgrade", () => {
    assert.ok(existsSync(EXECUTABLE), "build it first (npm run build)");
    const prefix = join(work, "prefix");
    // Its test knows the version of the formula alone, which is also the executable's.
    const { tested, service } = facts("linux", "intel", EXECUTABLE, prefix);
    assert.equal(tested, true);
    const [program, ...args] = service.run;
    const settings = args.at(-1);
    const shown = run(program, "settings", "--env-file", settings);
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(
      shown.stdout,
      new RegExp(`TLS_CERT_FILEPATH.*${prefix}/etc/smtp-oauth-relay/cert`),
    );
    assert.ok(existsSync(service.working_dir));
    assert.deepEqual(args, ["serve", "--env-file", settings]);
    // Without a certificate it starts no further, and says why.
    const { status, stderr } = run(program, ...args);
    assert.equal(status, 78);
    assert.match(stderr, /smtp-oauth-relay\/cert\.pem/);
    appendFileSync(settings, "LOG_RECIPIENTS=true\n");
    facts("linux", "intel", EXECUTABLE, prefix);
    assert.match(readFileSync(settings, "utf8"), /LOG_RECIPIENTS=true\n$/);
  });
});

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
    folder = release("winget");
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

describe("the chart of a release", () => {
  let chart: string;
  before(() => {
    chart = join(release("chart"), NEW[0]!);
    assert.equal(make(join(chart, "..")).status, 0);
  });

  it("is what the folder is, to Helm", () => {
    const [program, ...first] = helm() as [string, ...string[]];
    const rendered = [chart, join(ROOT, "deploy/helm/smtp-oauth-relay")].map((path) => {
      const args = [...first, "template", "relay", path, "--set", "http.existingSecret=a"];
      const { status, stdout, stderr } = run(program, ...args);
      assert.equal(status, 0, stderr);
      return stdout;
    });
    assert.equal(rendered[0], rendered[1]);
    const shown = run(program, ...first, "show", "chart", chart);
    const { version, appVersion, home } = parse(shown.stdout);
    assert.deepEqual([version, appVersion], [VERSION, VERSION]);
    assert.equal(home, `https://github.com/${repositoryOf(METADATA)}`);
  });
});
