/**
 * The scripts that the pipeline calls for what it has built: checksums, signatures and the release itself, with
 * stand-ins for `cosign` and `gh`.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { after, beforeEach, describe, it } from "node:test";
import { released } from "../../scripts/release/changelog.mjs";
import { absent } from "../support/tools.ts";
import { CHANGELOG, Folders, ROOT } from "./release/project.ts";

const folders = new Folders();
after(() => folders.remove());

describe("what is released", () => {
  let folder: string;
  let calls: string;
  let path: string;

  beforeEach(() => {
    const work = folders.add();
    folder = join(work, "dist");
    calls = join(work, "calls");
    const binaries = join(work, "bin");
    for (const name of [folder, binaries]) mkdirSync(name);
    path = `${binaries}${delimiter}${process.env["PATH"]}`;
    const standIn = (tool: string, reads: string) => {
      const script = `#!/bin/sh\n${reads}\necho "${tool} $*" >> "$CALLS"\nexit "\${STATUS:-0}"\n`;
      writeFileSync(join(binaries, tool), script, { mode: 0o755 });
    };
    standIn("cosign", "");
    standIn("gh", 'if [ "$1" = api ]; then echo "$TAGGED"; exit; fi\ncat > "$CALLS.notes"');
    put("relay-linux-x64", "octets");
    put("relay-linux-arm64", "others");
    sum("relay-linux-x64", "relay-linux-arm64");
  });

  const put = (name: string, text: string) => writeFileSync(join(folder, name), text);
  function sum(...names: string[]): void {
    const line = (name: string) => {
      const hash = createHash("sha256").update(readFileSync(join(folder, name))).digest("hex");
      return `${hash}  ${name}\n`;
    };
    put("SHA256SUMS", names.map(line).join(""));
  }
  function call(script: string, ...args: string[]) {
    writeFileSync(calls, "");
    const { status, stdout, stderr } = spawnSync("node", [
      join(ROOT, "scripts/release", script),
      ...args,
    ], { encoding: "utf8", env: { ...process.env, PATH: path, CALLS: calls } });
    return { status, stdout, stderr, calls: readFileSync(calls, "utf8") };
  }

  it("has a checksum for each file, and a file for each checksum", () => {
    assert.equal(call("sums.mjs", folder).status, 0);
    put("relay-linux-x64", "changed");
    put("surplus", "");
    rmSync(join(folder, "relay-linux-arm64"));
    const { status, stderr } = call("sums.mjs", folder);
    assert.equal(status, 1);
    assert.match(stderr, /relay-linux-x64 does not have its checksum/);
    assert.match(stderr, /surplus has no checksum/);
    assert.match(stderr, /relay-linux-arm64 is missing/);
    put("relay~rc.1.deb", "package");
    sum("relay~rc.1.deb");
    assert.match(call("sums.mjs", folder).stderr, /relay~rc\.1\.deb would get another name/);
    put("SHA256SUMS", "nonsense\n");
    assert.match(call("sums.mjs", folder).stderr, /has the line "nonsense"/);
    put("SHA256SUMS", "");
    assert.match(call("sums.mjs", folder).stderr, /is empty/);
    rmSync(join(folder, "SHA256SUMS"));
    assert.match(call("sums.mjs", folder).stderr, /has no SHA256SUMS/);
    assert.equal(call("sums.mjs").status, 2);
  });

  it("is the same in another folder that may have more", () => {
    const other = join(folders.add(), "other");
    cpSync(folder, other, { recursive: true });
    put("relay.deb", "package");
    sum("relay-linux-x64", "relay-linux-arm64", "relay.deb");
    assert.equal(call("sums.mjs", other, "--among", folder).status, 0);
    const { status, stderr } = call("sums.mjs", folder, "--among", other);
    assert.match(stderr, /other does not have [0-9a-f]{64} {2}relay\.deb/);
    assert.equal(status, 1);
    assert.equal(call("sums.mjs", folder, "--among").status, 2);
  });

  it("is what was built: SHA256SUMS has the SHA-256 that the build has told", () => {
    const output = join(folders.add(), "output");
    const told = spawnSync("node", [join(ROOT, "scripts/release/sums.mjs"), folder], {
      env: { ...process.env, GITHUB_OUTPUT: output },
    });
    assert.equal(told.status, 0);
    const [, built] = /^sums=([0-9a-f]{64})\n$/.exec(readFileSync(output, "utf8"))!;
    assert.equal(call("sums.mjs", folder, "--is", built!).status, 0);
    put("relay-linux-x64", "another, with a checksum of its own");
    sum("relay-linux-x64", "relay-linux-arm64");
    const { status, stderr } = call("sums.mjs", folder, "--is", built!);
    assert.match(stderr, new RegExp(`SHA256SUMS has the SHA-256 [0-9a-f]{64}, not ${built}`));
    assert.equal(status, 1);
    assert.equal(call("sums.mjs", folder, "--is", "").status, 1);
  });

  it("is signed by its checksums", () => {
    const signed = call("sign.mjs", "files", folder);
    assert.equal(signed.status, 0, signed.stderr);
    const sums = join(folder, "SHA256SUMS");
    assert.equal(signed.calls, `cosign sign-blob --yes --bundle ${sums}.sigstore.json ${sums}\n`);
    put("SHA256SUMS.sigstore.json", "{}");
    assert.equal(call("sums.mjs", folder).status, 0);
    put("surplus", "");
    const refused = call("sign.mjs", "files", folder);
    assert.deepEqual([refused.status, refused.calls], [1, ""]);
  });

  it("is an image that is signed by its digest, never by a tag", () => {
    const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
    const signed = call("sign.mjs", "image", "images.example/Owner/relay", digest);
    assert.equal(signed.calls, `cosign sign --yes images.example/owner/relay@${digest}\n`);
    const refused = call("sign.mjs", "image", "images.example/owner/relay", "latest");
    assert.deepEqual([refused.status, refused.calls], [1, ""]);
    assert.equal(call("sign.mjs", "image", "images.example/owner/relay").status, 2);
  });

  it("is not released without a section in the changelog, or with a file that has no checksum", () => {
    const noSection = call("publish.mjs", "v99.0.0", folder);
    assert.match(noSection.stderr, /no section "## \[99\.0\.0\]"/);
    put("surplus", "");
    const surplus = call("publish.mjs", "v99.0.0", folder);
    assert.match(surplus.stderr, /surplus has no checksum/);
    assert.deepEqual([noSection.status, surplus.status], [1, 1]);
    assert.equal(noSection.calls + surplus.calls, "");
    assert.equal(call("publish.mjs", "v99.0.0").status, 2);
  });

  const skip = absent("git");
  it(
    "is a release of the tag with all files, and a pre-release where the version is one",
    { skip },
    () => {
      const clone = folders.add();
      for (const name of ["scripts", "package.json"]) {
        cpSync(join(ROOT, name), join(clone, name), { recursive: true });
      }
      const git = (...args: string[]) => {
        const author = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        return spawnSync("git", [...author, ...args], { cwd: clone, encoding: "utf8" }).stdout
          .trim();
      };
      git("init", "--quiet");
      git("-c", "commit.gpgsign=false", "commit", "--quiet", "--allow-empty", "--message=test");
      let tagged = git("rev-parse", "HEAD");
      assert.match(tagged, /^[0-9a-f]{40}$/);
      const publish = (tag: string, status = "0") => {
        writeFileSync(
          join(clone, "CHANGELOG.md"),
          released(CHANGELOG, tag.slice(1), "2026-11-30"),
        );
        writeFileSync(calls, "");
        const result = spawnSync(
          "node",
          [join(clone, "scripts/release/publish.mjs"), tag, folder],
          {
            encoding: "utf8",
            env: { ...process.env, PATH: path, CALLS: calls, STATUS: status, TAGGED: tagged },
          },
        );
        const { status: ended, stderr } = result;
        return { status: ended, stderr, calls: readFileSync(calls, "utf8") };
      };
      const unsigned = publish("v1.0.0");
      assert.match(unsigned.stderr, /has no SHA256SUMS\.sigstore\.json/);
      assert.deepEqual([unsigned.status, unsigned.calls], [1, ""]);
      put("SHA256SUMS.sigstore.json", "{}");
      const files = [
        "SHA256SUMS",
        "SHA256SUMS.sigstore.json",
        "relay-linux-arm64",
        "relay-linux-x64",
      ]
        .map((name) => join(folder, name)).join(" ");
      const begin = (tag: string) =>
        `gh release create ${tag} --verify-tag --title ${tag.slice(1)} --notes-file -`;
      assert.deepEqual(publish("v1.0.0"), {
        status: 0,
        stderr: "",
        calls: `${begin("v1.0.0")} --latest=true ${files}\n`,
      });
      assert.match(readFileSync(`${calls}.notes`, "utf8"), /^### Added\n\n- A thing that takes/);
      assert.equal(
        publish("v1.0.0-rc.1").calls,
        `${begin("v1.0.0-rc.1")} --prerelease --latest=false ${files}\n`,
      );
      assert.equal(publish("v1.0.0", "4").status, 1);
      // Moved after the files were built, and deleted.
      for (const other of ["0123456789".repeat(4), ""]) {
        tagged = other;
        const moved = publish("v1.0.0");
        assert.match(moved.stderr, /the tag v1\.0\.0 does not name [0-9a-f]{40}\n/);
        assert.deepEqual([moved.status, moved.calls], [1, ""]);
      }
    },
  );
});
