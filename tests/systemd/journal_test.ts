// systemd.exec(5): JOURNAL_STREAM is the device and inode of standard error, and programs compare them.

import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { writesToJournal } from "../../src/systemd/journal.ts";

describe("a stream of the journal", () => {
  let directory: string;
  let stream: number;
  let name: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "relay-journal-"));
    stream = openSync(join(directory, "stream"), "w");
    const { dev, ino } = statSync(join(directory, "stream"), { bigint: true });
    name = `${dev}:${ino}`;
  });
  after(() => {
    closeSync(stream);
    rmSync(directory, { recursive: true });
  });
  const isJournal = (value: string | undefined, descriptor = stream) =>
    writesToJournal({ JOURNAL_STREAM: value }, descriptor);

  it("is known by device and inode", () => assert.equal(isJournal(name), true));

  it("is another one where the variable was inherited", () => {
    const other = openSync(join(directory, "other"), "w");
    assert.equal(isJournal(name, other), false);
    closeSync(other);
    assert.equal(isJournal(name.replace(/^\d+/, "1")), false);
    assert.equal(isJournal(`${name}0`), false);
  });

  it("is none without the variable, and with one of another form", () => {
    for (const value of [undefined, "", "x", "1", "1:", `${name} `, `-${name}`]) {
      assert.equal(isJournal(value), false, String(value));
    }
  });

  it("is none where the descriptor is closed", () => assert.equal(isJournal(name, 999), false));
});
