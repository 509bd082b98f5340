// What a command sees of the environment and of --env-file, and what of the file others see.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { settingsFor } from "../../src/settings/environment.ts";

describe("an --env-file", () => {
  const names = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "NO_PROXY"];
  let directory: string;
  let before: (string | undefined)[];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "relay-environment-"));
    before = names.map((name) => process.env[name]);
    for (const name of names) delete process.env[name];
  });
  afterEach(() => {
    names.forEach((name, index) => {
      if (before[index] === undefined) delete process.env[name];
      else process.env[name] = before[index];
    });
    rmSync(directory, { recursive: true });
  });

  function load(text: string) {
    const path = join(directory, ".env");
    writeFileSync(path, text);
    return settingsFor(path).settings;
  }

  it("hands on to the Azure SDK what that reads by itself, unless the environment has it", () => {
    process.env["AZURE_CLIENT_ID"] = "of the environment";
    load("AZURE_TENANT_ID=of the file\nAZURE_CLIENT_ID=of the file\n");
    assert.equal(process.env["AZURE_TENANT_ID"], "of the file");
    assert.equal(process.env["AZURE_CLIENT_ID"], "of the environment");
  });

  it("is refused with the number of a line that is no setting, and not with what stands there", () => {
    const broken = [
      ["LOG_LEVEL=INFO\nhunter2\n", 2],
      ["# one\n\n=x", 3],
      // An unclosed quote hides nothing after it.
      ['A="open\nSMTP_LISTEN hunter2\n', 2],
    ] as const;
    for (const [text, line] of broken) {
      assert.throws(() => load(text), (error: Error) => {
        assert.match(error.message, new RegExp(`line ${line} is neither NAME=VALUE nor a comment`));
        return !error.message.includes("hunter2");
      });
    }
  });

  it("may have comments, empty lines, `export`, and values of several lines", () => {
    const text = "# a\r\n\r\n  export LOG_LEVEL=INFO\nSERVER_GREETING='one'\n" +
      'SOME_OTHER="first\n second\n"\nLOG_FORMAT = json # so\n';
    const { LOG_LEVEL, SERVER_GREETING, LOG_FORMAT } = load(text);
    assert.deepEqual([LOG_LEVEL, SERVER_GREETING, LOG_FORMAT], ["INFO", "one", "json"]);
  });

  it("may begin with a byte order mark, as editors on Windows write it", () => {
    assert.equal(load("\ufeffUSERNAME_DELIMITER=:\n").USERNAME_DELIMITER, ":");
  });

  it("may have names of other programs", () => {
    assert.equal(load("1ST_VAR=x\na/b=1\nLOG_LEVEL=INFO\n").LOG_LEVEL, "INFO");
  });

  it("gives its settings and secrets to the relay alone", () => {
    const settings = load("AZURE_CLIENT_SECRET=s3cret\nNO_PROXY=a.test\n");
    assert.equal(settings.AZURE_CLIENT_SECRET?.reveal(), "s3cret");
    assert.equal(process.env["AZURE_CLIENT_SECRET"], undefined);
    assert.equal(process.env["NO_PROXY"], undefined);
  });
});
