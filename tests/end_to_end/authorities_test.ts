// A private certificate authority in front of Entra ID and Graph: trusted if the setting
// names it, in every outgoing connection, and not otherwise.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createAuthority } from "../support/authority.ts";
import { PROGRAMS, run, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const TOKEN = JSON.stringify({ token_type: "Bearer", expires_in: 3599, access_token: "e30.e30.x" });

describe("a private certificate authority", () => {
  let directory: string;
  let path: string;
  let service: Server;
  let port: number;
  let requests = 0;
  before(async () => {
    const authority = await createAuthority("a company's authority");
    directory = mkdtempSync(join(tmpdir(), "relay-authorities-"));
    path = join(directory, "authority.pem");
    writeFileSync(path, authority.certificate);
    const { certificate, privateKey } = await authority.issue({ names: ["localhost"] });
    service = createServer({ cert: certificate, key: privateKey }, (request, response) => {
      requests++;
      const login = request.url!.startsWith("/entra/");
      request.resume().on(
        "end",
        () => response.writeHead(login ? 200 : 202).end(login ? TOKEN : ""),
      );
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    port = (service.address() as AddressInfo).port;
  });
  after(async () => {
    service.closeAllConnections();
    await new Promise((resolve) => service.close(resolve));
    rmSync(directory, { recursive: true });
  });

  function environment(): Record<string, string> {
    return {
      TLS_SOURCE: "off",
      REQUIRE_TLS: "false",
      AZURE_AUTHORITY_HOST: `https://localhost:${port}/entra`,
      GRAPH_ENDPOINT: `https://localhost:${port}/graph`,
    };
  }

  for (const program of PROGRAMS) {
    const NAMES = [
      "EXTRA_CA_CERTS_FILEPATH",
      "NODE_EXTRA_CA_CERTS",
      // The names that the Python relay's libraries read.
      "SSL_CERT_FILE",
      "REQUESTS_CA_BUNDLE",
    ];
    for (const name of NAMES) {
      it(`is trusted by ${program.name} when ${name} names it`, async () => {
        const relay = await serve(program, { ...environment(), [name]: path });
        const client = new SmtpClient(relay.smtp);
        assert.match(await client.login(USERNAME, SECRET), /^235 2\.7\.0/);
        assert.match(await client.send("me@example.com", "you@example.org"), /^250 2\.0\.0/);
        client.destroy();
        assert.equal(await relay.running.stop(), 0);
      });
    }

    it(`is not trusted by ${program.name} otherwise: the login is deferred`, async () => {
      const relay = await serve(program, environment());
      const before = requests;
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login(USERNAME, SECRET), /^454 4\.7\.0 .*certificate/);
      client.destroy();
      assert.equal(await relay.running.stop(), 0);
      assert.equal(requests, before, "nothing has been said to the service");
    });

    // As in an image whose base sets SSL_CERT_FILE.
    it(`is trusted by ${program.name} besides the authorities of another variable`, async () => {
      const others = join(directory, "others.pem");
      writeFileSync(others, (await createAuthority("another authority")).certificate);
      const variables = { SSL_CERT_FILE: others, REQUESTS_CA_BUNDLE: path };
      const relay = await serve(program, { ...environment(), ...variables });
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login(USERNAME, SECRET), /^235 2\.7\.0/);
      client.destroy();
      assert.equal(await relay.running.stop(), 0);
    });

    it(`stops the start of ${program.name} when its file is missing`, async () => {
      const running = run(program, ["serve"], {
        ...environment(),
        EXTRA_CA_CERTS_FILEPATH: join(directory, "none.pem"),
      });
      assert.equal(await running.exited, 78);
      assert.match(running.stderr, /EXTRA_CA_CERTS_FILEPATH "[^"]+none\.pem" does not exist/);
    });
  }
});
