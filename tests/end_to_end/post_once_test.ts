// A POST that hands a message to Graph is never repeated by any layer: the second request on a
// kept-alive connection is read completely, then the connection breaks. docs/architecture.md names
// the HTTP clients that fail this.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type RawConnection, type RawServer, startRawServer } from "../support/raw_server.ts";
import { PROGRAMS, type Relay, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const TOKEN = JSON.stringify({ token_type: "Bearer", expires_in: 3599, access_token: "e30.e30.x" });
const ACCEPTED = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

const BREAKS: readonly { name: string; breakOff(connection: RawConnection): void }[] = [
  { name: "FIN before the answer", breakOff: ({ socket }) => socket.end() },
  { name: "RST before the answer", breakOff: ({ socket }) => socket.resetAndDestroy() },
  { name: "FIN inside the answer", breakOff: ({ socket }) => socket.end("HTTP/1.1 202 Acc") },
  {
    name: "RST inside the answer",
    breakOff: ({ socket }) => socket.write("HTTP/1.1 202 Acc", () => socket.resetAndDestroy()),
  },
];

for (const program of PROGRAMS) {
  describe(`a connection to Graph that breaks, on ${program.name}`, () => {
    let service: RawServer;
    let relay: Relay;
    before(async () => {
      service = await startRawServer(imitateGraph);
      relay = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        AZURE_AUTHORITY_HOST: `${service.url.origin}/entra`,
        GRAPH_ENDPOINT: `${service.url.origin}/graph`,
      });
    });
    after(async () => {
      assert.equal(await relay.running.stop(), 0);
      await service.close();
    });

    for (const { name } of BREAKS) {
      it(`${name}: Graph has seen the message once, the client gets 451 4.4.2`, async () => {
        const from = senderFor(name);
        const client = new SmtpClient(relay.smtp);
        assert.match(await client.login(USERNAME, SECRET), /^235 2\.7\.0/);
        // The first message leaves a connection to be kept alive, the second one is sent on it.
        assert.match(await client.send(from, "to@example.org", "first"), /^250 2\.0\.0/);
        const reply = await client.send(from, "to@example.org", "second");
        assert.match(reply, /^451 4\.4\.2 .*may have been sent/);
        client.destroy();
        const counts = service.connections.map(({ requests }) => messagesFrom(requests, from))
          .filter((count) => count > 0);
        assert.deepEqual(counts, [2], "two messages, two requests, one connection");
      });
    }
  });
}

function senderFor(name: string): string {
  return `${name.replaceAll(" ", "-").toLowerCase()}@example.com`;
}

function messagesFrom(requests: readonly string[], sender: string): number {
  return requests.filter((request) => request.includes(`/${encodeURIComponent(sender)}/sendMail`))
    .length;
}

/** Answers all but the second message of a sender on one connection, which it breaks. */
async function imitateGraph(connection: RawConnection): Promise<void> {
  for (let count = 1;; count++) {
    const request = await connection.request(count);
    if (request.startsWith("POST /entra/")) {
      const length = TOKEN.length;
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${TOKEN}`);
      continue;
    }
    const cause = BREAKS.find(({ name }) => messagesFrom([request], senderFor(name)) === 1)!;
    const seen = messagesFrom(connection.requests, senderFor(cause.name));
    if (seen > 1) return cause.breakOff(connection);
    connection.write(ACCEPTED);
  }
}
