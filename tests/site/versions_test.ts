/** Several versions of the documentation: from the tags of git, beside one another on one site. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import metadata from "../../package.json" with { type: "json" };
import { buildSite } from "../../scripts/site/build.ts";
import { editionsOf } from "../../scripts/site/editions.ts";
import { workingTree } from "../../scripts/site/source.ts";
import { releasedVersions } from "../../scripts/site/versions.ts";
import { absent } from "../support/tools.ts";
import { deadLinks } from "./crawl.ts";
import { editionOf, ROOT } from "./sources.ts";

const OLD = { "README.md": "# Home\n", "docs/old.md": "# Old\n\nText.\n" };
const NEW = { "README.md": "# Home\n", "docs/new.md": "# New\n\nText.\n" };

describe("the versions that are released", () => {
  it("are tags v1.2.3, the newest first, without pre-releases", () => {
    const tags = ["v1.2.0", "v1.10.0", "v2.0.0-rc.1", "v1.9.1", "1.0.0", "vx", "latest"];
    assert.deepEqual(releasedVersions(tags), ["1.10.0", "1.9.1", "1.2.0"]);
  });
});

describe("a site of several versions", () => {
  const { files } = buildSite([
    editionOf(NEW, "1.1.0"),
    editionOf(NEW, "1.1.0", "1.1.0/"),
    editionOf(OLD, "1.0.0", "1.0.0/"),
  ]);
  const page = (name: string) => files.get(name) as string;

  it("lists them", () => {
    assert.deepEqual(JSON.parse(page("versions.json")), {
      latest: "1.1.0",
      versions: [
        { version: "1.1.0", path: "" },
        { version: "1.1.0", path: "1.1.0/" },
        { version: "1.0.0", path: "1.0.0/" },
      ],
    });
  });

  it("has the latest one at its root, each in its folder, and no dead link between them", () => {
    for (const name of ["new.html", "1.1.0/new.html", "1.0.0/old.html"]) {
      assert.ok(page(name), name);
    }
    assert.ok(!files.has("old.html") && !files.has("1.0.0/new.html"));
    assert.deepEqual(deadLinks(files), []);
  });

  it("leads from a page to the same page, or to the first one where that is missing", () => {
    const links = (name: string) => {
      const [versions] = /<details class="versions">.*?<\/details>/.exec(page(name))!;
      return [...versions.matchAll(/<a href="([^"]+)"(?: aria-current="(true)")?>([^<]+)</g)]
        .map(([, href, current, label]) => [label, href, current === "true"]);
    };
    assert.deepEqual(links("new.html"), [
      ["1.1.0 (latest)", "new.html", true],
      ["1.0.0", "1.0.0/index.html", false],
    ]);
    assert.deepEqual(links("1.0.0/index.html"), [
      ["1.1.0 (latest)", "../index.html", false],
      ["1.0.0", "index.html", true],
    ]);
    assert.deepEqual(links("1.1.0/new.html")[0], ["1.1.0 (latest)", "../new.html", true]);
  });

  it("says on a page of an older one that it is older, and keeps it from search engines", () => {
    assert.match(page("1.0.0/old.html"), /for version 1\.0\.0\. <a href="\.\.\/index\.html">/);
    assert.match(page("1.0.0/old.html"), /<meta name="robots" content="noindex">/);
    for (const name of ["new.html", "1.1.0/new.html"]) {
      assert.doesNotMatch(page(name), /class="notice"|noindex/, name);
    }
  });
});

describe("a site of a version that is not released yet", () => {
  const { files } = buildSite([
    editionOf(NEW, "1.2.0"),
    editionOf(NEW, "1.1.0", "1.1.0/"),
    editionOf(NEW, "1.0.0", "1.0.0/"),
  ]);

  it("calls neither it nor the newest release old", () => {
    for (const [name, isOld] of [["new", false], ["1.1.0/new", false], ["1.0.0/new", true]]) {
      assert.equal(/class="notice"/.test(files.get(`${name}.html`) as string), isOld, String(name));
    }
  });
});

describe("a site of one version", () => {
  it("says which, and offers no choice", () => {
    const { files } = buildSite([editionOf(NEW, "1.1.0")]);
    assert.match(files.get("new.html") as string, /<p class="version">1\.1\.0<\/p>/);
    assert.doesNotMatch(files.get("new.html") as string, /<details class="versions"/);
    assert.deepEqual(JSON.parse(files.get("versions.json") as string), {
      latest: "1.1.0",
      versions: [{ version: "1.1.0", path: "" }],
    });
  });
});

describe("the versions of a repository", { skip: absent("git") }, () => {
  let repository: string;
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=x", "-c", "user.email=x@example.com", ...args], {
      cwd: repository,
      stdio: "ignore",
    });
  const write = (files: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(repository, name)), { recursive: true });
      writeFileSync(join(repository, name), text);
    }
  };
  const named = (released: boolean) =>
    editionsOf(repository, released).map(({ version, folder, source }) => [
      version,
      folder,
      source.ref,
    ]);

  before(() => {
    repository = mkdtempSync(join(tmpdir(), "relay-site-"));
    write({ ...OLD, "package.json": '{"version":"0.9.0"}' });
  });
  after(() => rmSync(repository, { recursive: true }));

  it("are the working tree alone before git knows it, and before the first release", () => {
    assert.deepEqual(named(false), [["0.9.0", "", "HEAD"]]);
    git("init", "--quiet");
    git("add", ".");
    git("commit", "--quiet", "--message", "first");
    assert.deepEqual(named(false), [["0.9.0", "", "HEAD"]]);
    assert.deepEqual(named(true), [["0.9.0", "", "HEAD"]]);
  });

  it("are then the releases, with the files that each had", () => {
    git("tag", "v0.9.0");
    rmSync(join(repository, "docs/old.md"));
    write({ ...NEW, "package.json": '{"version":"1.0.0"}' });
    assert.deepEqual(named(false), [["1.0.0", "", "HEAD"], ["0.9.0", "0.9.0/", "v0.9.0"]]);
    const { files } = buildSite(editionsOf(repository, false));
    assert.ok(files.has("new.html") && !files.has("old.html"));
    assert.ok(files.has("0.9.0/old.html") && !files.has("0.9.0/new.html"));
  });

  it("have the newest release at the root, to be published, also after changes", () => {
    git("add", ".");
    git("commit", "--quiet", "--message", "second");
    git("tag", "v1.0.0");
    assert.deepEqual(named(true), [
      ["1.0.0", "", "v1.0.0"],
      ["1.0.0", "1.0.0/", "v1.0.0"],
      ["0.9.0", "0.9.0/", "v0.9.0"],
    ]);
    assert.deepEqual(named(false)[0], ["after 1.0.0", "", "HEAD"]);
  });
});

describe("npm run site", () => {
  const run = (...args: string[]) => {
    const bun = join(ROOT, "node_modules/.bin/bun");
    return spawnSync(bun, ["scripts/site.ts", ...args], {
      cwd: ROOT,
      encoding: "utf8",
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        SITE_ADDRESS: "",
        // Without this repository's releases, which become more and more.
        GIT_DIR: join(output, ".git"),
      },
    });
  };
  let output: string;
  before(() => output = mkdtempSync(join(tmpdir(), "relay-site-")));
  after(() => rmSync(output, { recursive: true, force: true }));

  it("writes the site, and nothing of what was there before", () => {
    assert.equal(run("--output", output).status, 0);
    writeFileSync(join(output, "gone.html"), "");
    const { status, stdout, stderr } = run("--output", output);
    assert.equal(`${status} ${stderr}`, "0 ");
    assert.match(stdout, /: \d+ files; \S+ \(latest\)/);
    const { version } = metadata;
    const { files } = buildSite([{ version, folder: "", source: workingTree(ROOT) }]);
    const written = readdirSync(output, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(output.length + 1)).sort();
    assert.deepEqual(written, [...files.keys()].sort());
    for (const name of written.filter((name) => name.endsWith(".html"))) {
      assert.ok(readFileSync(join(output, name), "utf8") === files.get(name), name);
    }
  });

  it("refuses a folder with something else in it, and wrong arguments", () => {
    rmSync(join(output, "versions.json"));
    const { status, stderr } = run("--output", output);
    assert.equal(status, 1);
    assert.match(stderr, /has something else in it/);
    assert.equal(run("--address", "nowhere").status, 2);
    assert.equal(run("--nonsense").status, 2);
  });

  it("reads no folder that git does not keep", () => {
    assert.deepEqual(
      [...workingTree(ROOT).paths].filter((path) => /^(?:node_modules|dist)\//.test(path)),
      [],
    );
  });
});
