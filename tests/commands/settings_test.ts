/** `settings`: what is in force, where it comes from, and never a secret. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type SettingInForce, settings } from "../../src/commands/settings.ts";
import { CommandError } from "../../src/exit.ts";
import { type SettingName, SETTINGS } from "../../src/settings/schema.ts";

const SECRET = "hunter2-that-must-not-show";

describe("the command settings", () => {
  let folder: string;
  let before: NodeJS.ProcessEnv;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "relay-settings-"));
    before = { ...process.env };
    for (const name of Object.keys(process.env)) {
      const setting = name.replace(/_FILE$/, "");
      if (setting in SETTINGS || ALIAS.test(name)) delete process.env[name];
    }
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  });

  /** Variables of other programs, which a machine may have set. */
  const ALIAS = /^(?:NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|https?_proxy|no_proxy)$/i;

  function file(name: string, text: string): string {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }

  function all(envFile?: string): readonly SettingInForce[] {
    return JSON.parse(settings({ json: true }, envFile).text);
  }

  const one = (name: SettingName, envFile?: string) =>
    all(envFile).find((setting) => setting.name === name);

  it("has every setting that this version knows, in the order of the reference", () => {
    const names = all().map(({ name }) => name);
    const known = Object.entries(SETTINGS);
    assert.deepEqual(names, known.map(([name]) => name));
    assert.deepEqual(new Set(all().map(({ source }) => source)), new Set(["default"]));
  });

  it("shows a default as it would be written", () => {
    assert.deepEqual(one("LOG_LEVEL"), { name: "LOG_LEVEL", value: "WARNING", source: "default" });
    assert.deepEqual(one("SMTPS_LISTEN"), { name: "SMTPS_LISTEN", value: null, source: "default" });
  });

  it("shows the addresses that follow from AZURE_CLOUD", () => {
    process.env["AZURE_CLOUD"] = "usgov";
    assert.equal(one("AZURE_AUTHORITY_HOST")?.value, "https://login.microsoftonline.us");
    assert.equal(one("GRAPH_ENDPOINT")?.value, "https://graph.microsoft.us");
    assert.equal(one("GRAPH_ENDPOINT")?.source, "default");
  });

  it("tells the environment from the --env-file, which it goes before", () => {
    const envFile = file("relay.env", "LOG_LEVEL=INFO\nMAX_RECIPIENTS=7\n");
    process.env["MAX_RECIPIENTS"] = "8";
    assert.deepEqual(one("LOG_LEVEL", envFile), {
      name: "LOG_LEVEL",
      value: "INFO",
      source: "file",
      from: envFile,
    });
    assert.deepEqual(one("MAX_RECIPIENTS", envFile), {
      name: "MAX_RECIPIENTS",
      value: "8",
      source: "environment",
    });
  });

  it("names a variable that means the same", () => {
    const authorities = file("ca.pem", "");
    process.env["SSL_CERT_FILE"] = authorities;
    assert.deepEqual(one("EXTRA_CA_CERTS_FILEPATH"), {
      name: "EXTRA_CA_CERTS_FILEPATH",
      value: authorities,
      source: "environment",
      from: "SSL_CERT_FILE",
    });
  });

  it("never shows a secret, whichever way it comes", () => {
    const name = "HTTP_PASSWORD";
    const shown = { name, value: null, secret: true };
    assert.deepEqual(one(name), { ...shown, source: "default" });
    const texts: string[] = [];
    const look = () => {
      texts.push(settings({}, undefined).text, settings({ json: true }, undefined).text);
      return one(name);
    };
    process.env[name] = SECRET;
    assert.deepEqual(look(), { ...shown, source: "environment" });
    delete process.env[name];
    const path = process.env[`${name}_FILE`] = file("password", `${SECRET}\n`);
    assert.deepEqual(look(), { ...shown, source: "file", from: path });
    delete process.env[`${name}_FILE`];
    process.env["CREDENTIALS_DIRECTORY"] = folder;
    const from = file(name, `${SECRET}\n`);
    assert.deepEqual(look(), { ...shown, source: "credential", from });
    for (const text of texts) assert(!text.includes(SECRET));
    assert.match(texts[0]!, /^HTTP_PASSWORD +environment +\(secret, set\)$/m);
  });

  it("hides a client secret in the wrong field", () => {
    const secret = "abc8Q~aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    process.env["SERVER_GREETING"] = `hello ${secret}`;
    assert.equal(one("SERVER_GREETING")?.value, "hello [40 characters]");
    process.env["LOG_LEVEL"] = secret;
    assert.throws(() => all(), (error: unknown) => {
      const text = (error as CommandError).lines.join();
      return text.includes('LOG_LEVEL "[40 characters]"') && !text.includes(secret);
    });
  });

  it("hides a private key in place of the path of its file", () => {
    const lines = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEhidden", "hidden==", ""];
    const end = "-----END RSA PRIVATE KEY-----";
    process.env["LOOKUP_FILE"] = [...lines, end].join("\\n");
    assert.equal(one("LOOKUP_FILE")?.value, "[private key]");
    process.env["LOOKUP_FILE"] = `chain ${lines.join("")}`;
    assert.equal(one("LOOKUP_FILE")?.value, "chain [private key]");
    process.env["CLIENT_KEY_FILEPATH"] = [...lines, end].join("\n");
    assert.throws(() => all(), (error: unknown) => {
      const text = (error as CommandError).lines.join();
      return text.includes('CLIENT_KEY_FILEPATH "[private key]"') && !text.includes("hidden");
    });
  });

  it("hides what a quote that is not closed takes in of the lines after it", () => {
    const lines = '"a.test\nWEBHOOK_SECRET=hidden1\nX="\n';
    process.env["HTTPS_PROXY"] = "http://127.0.0.1:9";
    const envFile = file("relay.env", `NO_PROXY=${lines}`);
    assert.equal(one("NO_PROXY", envFile)?.value, "a.test\nWEBHOOK_SECRET=…\nX=");
    const { text, warnings } = settings({}, envFile);
    assert.ok(!`${text} ${warnings.join()}`.includes("hidden1"), warnings.join());
    const wrong = file("wrong.env", `SERVER_GREETING=${lines}`);
    assert.throws(() => all(wrong), (error: unknown) => {
      const text = (error as CommandError).lines.join();
      return text.includes('SERVER_GREETING "a.test\\nWEBHOOK_SECRET=…\\nX="') &&
        !text.includes("hidden1");
    });
  });

  it("hides a password in a value that is no secret", () => {
    process.env["NO_PROXY"] = "http://user:hunter2@proxy.example";
    const { text } = settings({}, undefined);
    assert(!text.includes("hunter2"), text);
  });

  it("with --changed has only those that do not have their default", () => {
    assert.equal(settings({ changed: true }, undefined).text, "every setting has its default");
    assert.equal(settings({ changed: true, json: true }, undefined).text, "[]");
    process.env["LOG_LEVEL"] = "INFO";
    const { text } = settings({ changed: true }, undefined);
    assert.equal(text, "setting    source       value\nLOG_LEVEL  environment  INFO");
  });

  it("names every problem, and ends with 78 (contract)", () => {
    process.env["LOG_LEVEL"] = "loud";
    process.env["MAX_RECIPIENTS"] = "many";
    assert.throws(() => settings({}, undefined), (error) => {
      assert(error instanceof CommandError);
      assert.equal(error.status, 78);
      assert.match(error.lines.join("\n"), /LOG_LEVEL "loud"[^]*MAX_RECIPIENTS "many"/);
      return true;
    });
  });

  it("passes on what the relay would warn about", () => {
    process.env["LOG_LEVLE"] = "INFO";
    assert.deepEqual(settings({}, undefined).warnings, [
      "LOG_LEVLE is not a setting: did you mean LOG_LEVEL?",
    ]);
  });
});
