// The whole program behind an HTTP proxy: logins and messages go through it, to services whose names only
// the proxy can resolve, and its errors reach the client's reply and the log.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createAuthority } from "../support/authority.ts";
import { type ProxyServer, startProxy } from "../support/proxy.ts";
import { closedPort } from "../support/raw_server.ts";
import { PROGRAMS, type Relay, run, SECRET, serve, TENANT, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const TOKEN = JSON.stringify({ token_type: "Bearer", expires_in: 3599, access_token: "e30.e30.x" });
const LOGIN = "login.relay.test";
const GRAPH = "graph.relay.test";
const CREDENTIALS = "relay:proxy-password";

describe("a relay behind a proxy", () => {
  let directory: string;
  let authority: string;
  let service: Server;
  let proxy: ProxyServer;
  /** `METHOD host/path` of the requests to the services. */
  let seen: string[] = [];
  /** The requested tokens. */
  let scopes: (string | null)[] = [];
  /** Hosts that the proxy does not connect to. */
  const blocked = new Set<string>();

  before(async () => {
    const company = await createAuthority("a company's authority");
    directory = mkdtempSync(join(tmpdir(), "relay-proxy-"));
    authority = join(directory, "authority.pem");
    writeFileSync(authority, company.certificate);
    const { certificate, privateKey } = await company.issue({
      names: [LOGIN, GRAPH, "localhost"],
    });
    service = createServer({ cert: certificate, key: privateKey }, (request, response) => {
      seen.push(`${request.method} ${request.headers.host}${request.url}`);
      const login = request.url!.includes("/oauth2/");
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => body += text);
      request.on("end", () => {
        if (login) scopes.push(new URLSearchParams(body).get("scope"));
        response.writeHead(login ? 200 : 202).end(login ? TOKEN : "");
      });
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    const { port } = service.address() as AddressInfo;
    proxy = await startProxy({
      route: () => port,
      credentials: CREDENTIALS,
      instead(socket, head) {
        if (![...blocked].some((host) => head.startsWith(`CONNECT ${host}:443 `))) return false;
        socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
        return true;
      },
    });
  });
  after(async () => {
    await proxy.close();
    service.closeAllConnections();
    await new Promise((resolve) => service.close(resolve));
    rmSync(directory, { recursive: true });
  });

  function environment(more: Record<string, string> = {}): Record<string, string> {
    return {
      TLS_SOURCE: "off",
      REQUIRE_TLS: "false",
      LOG_LEVEL: "DEBUG",
      AZURE_AUTHORITY_HOST: `https://${LOGIN}`,
      GRAPH_ENDPOINT: `https://${GRAPH}`,
      EXTRA_CA_CERTS_FILEPATH: authority,
      HTTPS_PROXY: proxy.url.replace("//", `//${CREDENTIALS}@`),
      ...more,
    };
  }

  /** Runs something with a connected client, and stops the relay. @returns all of its output */
  async function during(relay: Relay, act: (client: SmtpClient) => Promise<void>) {
    const client = new SmtpClient(relay.smtp);
    try {
      await act(client);
    } finally {
      client.destroy();
      assert.equal(await relay.running.stop(), 0);
    }
    const { stdout, stderr } = relay.running;
    const pair = btoa(CREDENTIALS);
    for (const secret of ["proxy-password", pair, SECRET]) {
      assert(!(stdout + stderr).includes(secret), `${secret} has been printed`);
    }
    return stderr;
  }

  for (const program of PROGRAMS) {
    it(`sends mail through it with ${program.name}: token and message`, async () => {
      seen = [];
      scopes = [];
      const before = proxy.requests.length;
      const relay = await serve(program, environment());
      const log = await during(relay, async (client) => {
        assert.match(await client.login(USERNAME, SECRET), /^235 2\.7\.0/);
        assert.match(await client.send("me@example.com", "you@example.org"), /^250 2\.0\.0/);
      });
      assert.deepEqual(seen.map((line) => line.replace(/\?.*/, "")), [
        `POST ${LOGIN}/${TENANT}/oauth2/v2.0/token`,
        `POST ${GRAPH}/v1.0/users/me%40example.com/sendMail`,
      ]);
      assert.equal(scopes.length, 1);
      assert.match(scopes[0]!, new RegExp(`^https://${GRAPH}/\\.default(?: |$)`));
      assert.deepEqual(
        proxy.requests.slice(before).map((head) => head.split("\r\n")[0]),
        [`CONNECT ${LOGIN}:443 HTTP/1.1`, `CONNECT ${GRAPH}:443 HTTP/1.1`],
      );
      assert.match(
        log,
        new RegExp(`Outgoing connections use the proxy.*127\\.0\\.0\\.1:${proxy.port}`),
      );
    });

    it(`defers logins with ${program.name} when the proxy requires another password`, async () => {
      seen = [];
      const HTTPS_PROXY = proxy.url.replace("//", "//relay:another-proxy-password@");
      const relay = await serve(program, environment({ HTTPS_PROXY }));
      const log = await during(relay, async (client) => {
        assert.match(await client.login(USERNAME, SECRET), /^454 4\.7\.0 .*PROXY_407.*HTTPS_PROXY/);
      });
      assert.match(log, /Login .*PROXY_407/);
      assert.deepEqual(seen, []);
    });

    it(`defers a message with ${program.name} when the proxy does not connect to Graph`, async () => {
      seen = [];
      const relay = await serve(program, environment());
      blocked.add(GRAPH);
      try {
        const before = proxy.requests.length;
        const log = await during(relay, async (client) => {
          assert.match(await client.login(USERNAME, SECRET), /^235 2\.7\.0/);
          const reply = await client.send("me@example.com", "you@example.org");
          assert.match(reply, /^451 4\.4\.1 PROXY_403: the proxy does not let .*nothing was sent/);
        });
        assert.match(log, /Message deferred.*PROXY_403.*answers 403/);
        assert.equal(seen.length, 1, "the token was asked for, nothing else");
        assert.equal(proxy.requests.length - before, 2, "it was not tried again");
      } finally {
        blocked.clear();
      }
    });

    it(`reports with ${program.name} that the proxy cannot be reached`, async () => {
      const HTTPS_PROXY = `http://127.0.0.1:${await closedPort()}`;
      const relay = await serve(program, environment({ HTTPS_PROXY }));
      await during(relay, async (client) => {
        const reply = await client.login(USERNAME, SECRET);
        assert.match(reply, /^454 4\.7\.0 .*PROXY_ECONNREFUSED.*cannot be reached/);
      });
    });

    it(`bypasses it with ${program.name} as NO_PROXY says`, async () => {
      const before = proxy.requests.length;
      const NO_PROXY = "example.com,*.invalid";
      const relay = await serve(
        program,
        environment({ NO_PROXY, AZURE_AUTHORITY_HOST: "https://login.invalid" }),
      );
      await during(relay, async (client) => {
        // An unresolvable name (RFC 6761 §6.4): the relay itself has tried to resolve it.
        assert.match(await client.login(USERNAME, SECRET), /^454 4\.7\.0 (?!.*PROXY_)/);
      });
      assert.equal(proxy.requests.length, before);
    });

    it(`does not start ${program.name} with a proxy that it cannot use, and logs one line`, async () => {
      const HTTPS_PROXY = "https://relay:proxy-password@proxy.test:3128";
      const running = run(program, ["serve"], environment({ HTTPS_PROXY }));
      assert.equal(await running.exited, 78);
      assert.match(
        running.stderr,
        /^smtp-oauth-relay: HTTPS_PROXY must be http:\/\/host:port [^\n]+\n$/,
      );
      assert.doesNotMatch(running.stderr, /proxy-password/);
    });
  }
});
