/**
 * The README's first certificate, which is signed by itself, and nodemailer as recipes.md has it: what the
 * one makes, the other is told to trust.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import nodemailer from "nodemailer";
import { PROGRAMS, root, SECRET, serve, USERNAME } from "../end_to_end/programs.ts";
import { subjectKeyIdentifier } from "../support/certificates.ts";
import { startCloud } from "../support/cloud.ts";

const skip = spawnSync("openssl", ["version"]).error === undefined
  ? false
  : "openssl is not installed";

/** The first block of a page in a language that holds these words. */
function block(page: string, language: string, words: string): string {
  const text = readFileSync(join(root, page), "utf8");
  const blocks = [...text.matchAll(/^ *```(\w+)\n([^]*?)^ *```$/gm)];
  const found = blocks.find(([, name, text]) => name === language && text!.includes(words));
  assert.ok(found !== undefined, words);
  return found[2]!;
}

describe("nodemailer as its recipe has it", { skip }, () => {
  it("trusts the certificate that the README makes, and no other", async () => {
    const directory = mkdtempSync(join(tmpdir(), "relay-readme-"));
    const made = spawnSync("sh", ["-ec", block("README.md", "sh", "openssl req")], {
      cwd: directory,
    });
    assert.equal(made.status, 0, String(made.stderr));
    const pem = readFileSync(join(directory, "certs/cert.pem"), "utf8");
    // By which some clients look for it among those that they trust (RFC 5280 §4.2.1.2).
    assert.match(await subjectKeyIdentifier(pem) ?? "none", /^[0-9a-f]{40}$/);
    const cloud = await startCloud({});
    const relay = await serve(PROGRAMS[0]!, {
      TLS_CERT_FILEPATH: join(directory, "certs/cert.pem"),
      TLS_KEY_FILEPATH: join(directory, "certs/key.pem"),
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      GRAPH_ENDPOINT: cloud.endpoint.href,
    });
    const [, literal] = /createTransport\((\{[^]*?\n\})\)/.exec(
      block("docs/recipes.md", "js", "nodemailer"),
    )!;
    // It is in another place there.
    const reading = (_: string) => pem;
    const options = new Function("readFileSync", `return ${literal}`)(reading) as {
      host: string;
      port: number;
      auth: { user: string; pass: string };
      tls: { ca?: string; servername?: string };
    };
    const mail = { from: "scanner@example.com", to: "you@example.com", text: "It works." };
    const here = {
      ...options,
      host: "127.0.0.1",
      port: relay.smtp,
      auth: { user: USERNAME, pass: SECRET },
    };
    const trusting = { ...here, tls: { ...options.tls, servername: options.host } };
    const { response } = await nodemailer.createTransport(trusting).sendMail(mail);
    assert.match(response, /^250 2\.0\.0 /);
    const strict = { ...here, tls: { servername: options.host } };
    await assert.rejects(nodemailer.createTransport(strict).sendMail(mail), /self.signed/i);
    assert.equal(await relay.running.stop(), 0);
    await cloud.close();
    rmSync(directory, { recursive: true });
  });
});
