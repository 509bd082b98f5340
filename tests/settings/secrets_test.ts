/** Secrets from the environment, from files and from systemd's credentials; and never shown. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { inspect } from "node:util";
import { Secret } from "../../src/secret.ts";
import { loadSettings } from "../../src/settings/load.ts";
import type { Environment } from "../../src/settings/setting.ts";
import { SETTINGS } from "../../src/settings/schema.ts";

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "relay-secrets-"));
});
after(() => rmSync(directory, { recursive: true }));

/** A file with this text. */
function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** HTTP_PASSWORD in this environment, or the problems. */
function password(environment: Environment): string | undefined | readonly string[] {
  const loaded = loadSettings(environment);
  return loaded.type === "problems" ? loaded.problems : loaded.settings.HTTP_PASSWORD?.reveal();
}

describe("a secret", () => {
  it("comes from its variable", () => {
    assert.equal(password({ HTTP_PASSWORD: "s3cret" }), "s3cret");
  });

  it("comes from the file that NAME_FILE names", () => {
    assert.equal(password({ HTTP_PASSWORD_FILE: file("a", "s3cret") }), "s3cret");
  });

  it("is warned about if its file is empty, which is never intended", () => {
    const path = file("empty", "\n");
    const loaded = loadSettings({ HTTP_PASSWORD_FILE: path });
    assert(loaded.type === "settings");
    assert.equal(loaded.settings.HTTP_PASSWORD, undefined);
    assert.deepEqual(loaded.warnings, [
      `HTTP_PASSWORD_FILE ${JSON.stringify(path)} is empty: HTTP_PASSWORD is unset`,
    ]);
  });

  it("comes from CREDENTIALS_DIRECTORY (systemd.exec, LoadCredential=)", () => {
    file("HTTP_PASSWORD", "from systemd\n");
    assert.equal(password({ CREDENTIALS_DIRECTORY: directory }), "from systemd");
  });

  it("comes from the first of these three that there is", () => {
    file("HTTP_PASSWORD", "third");
    const second = file("b", "second");
    const CREDENTIALS_DIRECTORY = directory;
    assert.equal(password({ HTTP_PASSWORD: "first", CREDENTIALS_DIRECTORY }), "first");
    assert.equal(password({ HTTP_PASSWORD_FILE: second, CREDENTIALS_DIRECTORY }), "second");
    assert.equal(
      password({ HTTP_PASSWORD: "", HTTP_PASSWORD_FILE: second, CREDENTIALS_DIRECTORY }),
      "second",
    );
    assert.equal(
      password({ HTTP_PASSWORD: "", HTTP_PASSWORD_FILE: "", CREDENTIALS_DIRECTORY }),
      "third",
    );
  });

  it("stops the start when NAME and NAME_FILE are both set", () => {
    const found = password({ HTTP_PASSWORD: "s3cret", HTTP_PASSWORD_FILE: file("c", "other") });
    assert.deepEqual(found, ["HTTP_PASSWORD and HTTP_PASSWORD_FILE are both set: unset one"]);
  });

  const NEWLINES: readonly (readonly [written: string, read: string | undefined])[] = [
    ["s3cret\n", "s3cret"],
    ["s3cret\r\n", "s3cret"],
    ["s3cret\n\n", "s3cret\n"],
    ["\ns3cret", "\ns3cret"],
    [" s3cret ", " s3cret "],
    ["s3\ncret\n", "s3\ncret"],
    ["Grüße\n", "Grüße"],
    ["\n", undefined],
    ["", undefined],
  ];
  for (const [written, read] of NEWLINES) {
    it(`is ${JSON.stringify(read)} from a file with ${JSON.stringify(written)}: one line end is the editor's`, () => {
      assert.equal(password({ HTTP_PASSWORD_FILE: file("d", written) }), read);
    });
  }

  it("keeps the line end that its variable has", () => {
    assert.equal(password({ HTTP_PASSWORD: "s3cret\n" }), "s3cret\n");
  });

  it("stops the start when its file cannot be read, and the problem names the file and the reason", () => {
    const path = join(directory, "not there");
    const found = password({ HTTP_PASSWORD_FILE: path });
    assert.deepEqual(found, [
      `HTTP_PASSWORD_FILE ${JSON.stringify(path)} cannot be read: ` +
      "there is no such file or directory (ENOENT)",
    ]);
    const [problem] = password({ HTTP_PASSWORD_FILE: directory }) as readonly string[];
    assert.match(problem!, /^HTTP_PASSWORD_FILE .* cannot be read: it is a directory \(EISDIR\)/);
  });

  it("may be missing from CREDENTIALS_DIRECTORY, but not unreadable there", () => {
    const empty = mkdtempSync(join(directory, "empty-"));
    assert.equal(password({ CREDENTIALS_DIRECTORY: empty }), undefined);
    assert.equal(password({ CREDENTIALS_DIRECTORY: join(directory, "not there") }), undefined);
    const odd = mkdtempSync(join(directory, "odd-"));
    // A directory in the file's place: root cannot read it either.
    mkdirSync(join(odd, "HTTP_PASSWORD"));
    assert.deepEqual(password({ CREDENTIALS_DIRECTORY: odd }), [
      "the credential HTTP_PASSWORD cannot be read: it is a directory (EISDIR)",
    ]);
  });

  it("is unset, with a warning, where its credential or its file is empty", () => {
    const folder = mkdtempSync(join(directory, "nothing-"));
    const path = join(folder, "HTTP_PASSWORD");
    writeFileSync(path, "\n");
    for (
      const [environment, warning] of [
        [{ CREDENTIALS_DIRECTORY: folder }, "the credential HTTP_PASSWORD is empty"],
        [{ HTTP_PASSWORD_FILE: path }, `HTTP_PASSWORD_FILE ${JSON.stringify(path)} is empty`],
      ] as const
    ) {
      const loaded = loadSettings(environment);
      assert.equal(loaded.type, "settings");
      if (loaded.type !== "settings") return;
      assert.equal(loaded.settings.HTTP_PASSWORD, undefined);
      assert.deepEqual(loaded.warnings, [`${warning}: HTTP_PASSWORD is unset`]);
    }
  });

  it("is marked as one in the schema, each of the contract's", () => {
    const marked = Object.entries(SETTINGS).filter(([, s]) => "secret" in s && s.secret === true);
    assert.deepEqual(marked.map(([name]) => name).sort(), [
      "AZURE_CLIENT_SECRET",
      "AZURE_TABLES_CONNECTION_STRING",
      "CLIENT_SECRET",
      "HTTPS_PROXY",
      "HTTP_PASSWORD",
      "OTEL_EXPORTER_OTLP_HEADERS",
      "QUEUE_CONNECTION_STRING",
      "QUEUE_KEY",
      "SMARTHOST_PASSWORD",
      "TRUSTED_PASSWORD",
      "WEBHOOK_SECRET",
      "WEBHOOK_URL",
    ]);
  });

  it("is in no problem and no warning", () => {
    const secret = "hunter2-hunter2";
    for (const [name, setting] of Object.entries(SETTINGS)) {
      if (!("secret" in setting) || setting.secret !== true) continue;
      const path = file("e", secret);
      for (const given of [{ [name]: secret }, { [`${name}_FILE`]: path }]) {
        const loaded = loadSettings({ ...given, LOG_LEVEL: "x" });
        assert(loaded.type === "problems");
        assert(!JSON.stringify(loaded).includes(secret), name);
        assert(!inspect(loadSettings(given), { depth: 9 }).includes(secret), name);
      }
    }
  });

  it("shows as [redacted] in every form that a text takes", () => {
    const secret = new Secret("hunter2");
    const nested = { a: [{ secret }], secret };
    const forms = [
      String(secret),
      `${secret}`,
      secret + "",
      JSON.stringify(nested),
      inspect(nested, { depth: 9, showHidden: true }),
      inspect(secret),
      Object.keys(secret).join(),
      JSON.stringify({ ...secret }),
    ];
    assert(forms.every((form) => !form.includes("hunter2")), forms.join("\n"));
    assert.equal(forms[0], "[redacted]");
    assert.equal(secret.reveal(), "hunter2");
  });
});
