// The sandbox registers the certificate of another relay, so that a set-up for devices without secrets can be
// tried with its own files before it reaches the real Entra ID.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { selfSignedClientCertificate } from "../../src/certificates/self_signed.ts";
import { writeCertificate } from "../support/certificates.ts";
import { CLIENT, PROGRAMS, type Relay, run, sandbox, TENANT } from "./programs.ts";

for (const program of PROGRAMS) {
  describe(`the sandbox with the certificate of another relay, on ${program.name}`, () => {
    let directory: string;
    let cloud: Relay;
    const filesOf = async (name: string) => {
      const files = writeCertificate(directory, name, await selfSignedClientCertificate());
      return {
        CLIENT_CERTIFICATE_FILEPATH: files.certificatePath,
        CLIENT_KEY_FILEPATH: files.keyPath,
      };
    };
    let registered: Awaited<ReturnType<typeof filesOf>>;
    before(async () => {
      directory = mkdtempSync(join(tmpdir(), "relay-sandbox-"));
      registered = await filesOf("registered");
      cloud = await sandbox(program, registered);
    });
    after(async () => {
      await cloud.running.stop();
      rmSync(directory, { recursive: true });
    });

    const command = async (files: Record<string, string>, ...args: string[]) => {
      const running = run(program, args, {
        ...files,
        LOOKUP_FILE: join(directory, "lookup.json"),
        AZURE_AUTHORITY_HOST: `http://127.0.0.1:${cloud.http}/entra`,
        GRAPH_ENDPOINT: `http://127.0.0.1:${cloud.http}/graph`,
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        SMTP_LISTEN: "127.0.0.1:0",
        HTTP_LISTEN: "off",
      });
      await running.exited;
      return running.stdout + running.stderr;
    };

    it("accepts that one, and no other", async () => {
      const ids = [`tenant_id=${TENANT}`, `client_id=${CLIENT}`];
      const sender = "from_email=scanner@example.com";
      await command(
        registered,
        ...["lookup", "set", "scanner", ...ids, sender],
        "credential=certificate",
      );
      await command(registered, "lookup", "set-password", "scanner");
      assert.match(
        await command(registered, "check"),
        /^ok +credential: certificate logs in to app/m,
      );
      const other = await command(await filesOf("other"), "check");
      assert.match(other, /AADSTS700027.*\[credential\.unregistered\]/);
    });

    it("does not start where the file is missing", async () => {
      const running = run(program, ["sandbox"], {
        ...registered,
        CLIENT_CERTIFICATE_FILEPATH: join(directory, "missing.pem"),
        SMTP_LISTEN: "127.0.0.1:0",
        HTTP_LISTEN: "127.0.0.1:0",
      });
      assert.equal(await running.exited, 78);
      assert.match(running.stderr, /CLIENT_CERTIFICATE_FILEPATH ".*" does not exist/);
    });
  });
}
