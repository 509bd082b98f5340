/** What a purge of the Debian package removes: settings and queue, and nothing that they only lead to. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { absent } from "../support/tools.ts";

const POSTRM = fileURLToPath(
  new URL("../../deploy/packages/debian/postrm", import.meta.url),
);
const isRoot = process.getuid?.() === 0;

describe("a purge", () => {
  let root: string;
  let settings: string;
  let queue: string;
  let others: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "relay-purge-"));
    settings = join(root, "etc/smtp-oauth-relay");
    queue = join(root, "var/lib/smtp-oauth-relay");
    others = join(root, "srv");
    for (const path of [settings, queue, others]) mkdirSync(path, { recursive: true });
    for (const path of [settings, queue, others]) writeFileSync(join(path, "file"), "");
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function purge() {
    const env = { PATH: process.env["PATH"], DPKG_ROOT: root };
    return spawnSync("sh", [POSTRM, "purge"], { encoding: "utf8", env });
  }
  function mount(...args: string[]) {
    const { status, stderr } = spawnSync("mount", args, { encoding: "utf8" });
    assert.equal(status, 0, stderr);
  }

  it("removes links, and not what they lead to", { skip: process.platform === "win32" }, () => {
    symlinkSync(others, join(settings, "link"));
    rmSync(queue, { recursive: true });
    symlinkSync(others, queue);
    const { status, stderr } = purge();
    assert.deepEqual([status, stderr], [0, ""]);
    assert.deepEqual([existsSync(settings), existsSync(queue)], [false, false]);
    assert.deepEqual(readdirSync(others), ["file"]);
  });

  it("ends well where the queue has a disk of its own, which it empties, and spares another's", {
    skip: isRoot ? absent("mount", "umount") : "needs root",
  }, () => {
    const below = join(settings, "below");
    mkdirSync(below);
    mount("-t", "tmpfs", "tmpfs", queue);
    mount("-t", "tmpfs", "tmpfs", below);
    try {
      for (const path of [queue, below]) writeFileSync(join(path, "file"), "");
      const { status, stdout } = purge();
      assert.equal(status, 0);
      assert.match(stdout, /what is mounted stays/);
      assert.deepEqual([readdirSync(queue), readdirSync(below)], [[], ["file"]]);
    } finally {
      for (const path of [queue, below]) spawnSync("umount", ["--lazy", path]);
    }
  });
});
