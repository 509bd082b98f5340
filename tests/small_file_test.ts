/** Small files, and what an administrator may name in their place. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, it } from "node:test";
import { readSmallFile, readSmallFileSync } from "../src/small_file.ts";

const MOST = 200_000;

describe("a small file", () => {
  const directory = mkdtempSync(join(tmpdir(), "relay-small-"));
  const path = join(directory, "file");
  after(() => rmSync(directory, { recursive: true }));

  const readings: readonly [string, (path: string) => Promise<string>][] = [
    ["without blocking", (path) => readSmallFile(path, MOST)],
    ["at once", async (path) => await Promise.resolve(readSmallFileSync(path, MOST))],
  ];
  for (const [how, read] of readings) {
    const codeOf = async (path: string) => {
      try {
        return `read: ${await read(path)}`;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
    };

    it(`is read to its end ${how}, also through a link`, async () => {
      const link = join(directory, `link ${how}`);
      symlinkSync(path, link);
      for (const text of ["", "ä\r\n", "€".repeat(MOST / 3), "x".repeat(MOST)]) {
        writeFileSync(path, text);
        assert.equal(await read(link), text);
      }
    });

    it(`is no larger one, when read ${how}`, async () => {
      writeFileSync(path, "x".repeat(MOST + 1));
      assert.equal(await codeOf(path), "TOO_LARGE");
      assert.equal(await codeOf(directory), "EISDIR");
      assert.equal(await codeOf(join(directory, "missing")), "ENOENT");
    });

    it(`is no pipe, which would wait for a writer, and no device, when read ${how}`, {
      skip: process.platform === "win32",
    }, async () => {
      const pipe = join(directory, `pipe ${how}`);
      execFileSync("mkfifo", [pipe]);
      assert.equal(await codeOf(pipe), "NOT_A_FILE");
      assert.equal(await codeOf("/dev/zero"), "NOT_A_FILE");
    });
  }
});
