// Many concurrent clients: none waits for another's response from Graph. Bun's fetch, for example, stops
// at 256 requests; the Python relay serves one message at a time.
//
// Graph answers no request before all have arrived: on a busy machine that may
// take seconds.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startCloud } from "../support/cloud.ts";
import { PROGRAMS, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const CLIENTS = 600;
/** Milliseconds until Graph answers anyway; less than GRAPH_HTTP_TIMEOUT. */
const ANSWER_AFTER = 25_000;

for (const program of PROGRAMS) {
  describe(`many concurrent clients, on ${program.name}`, () => {
    it(`have ${CLIENTS} requests in flight at Graph`, async () => {
      const all = Promise.withResolvers<void>();
      const cloud = await startCloud({
        graph: {
          async intercept() {
            if (cloud.graph.requests === CLIENTS) all.resolve();
            await all.promise;
            return undefined;
          },
        },
      });
      let timer: ReturnType<typeof setTimeout> | undefined;
      const relay = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        // Bursts of logins from one address have tests of their own.
        MAX_CONNECTIONS_PER_IP: String(CLIENTS),
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
      });
      try {
        const clients = await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
          const client = new SmtpClient(relay.smtp);
          assert.match(await client.login(USERNAME, SECRET), /^235/);
          const from = `sender${i}@example.com`;
          await client.say(`MAIL FROM:<${from}>`);
          await client.say("RCPT TO:<to@example.org>");
          assert.match(await client.say("DATA"), /^354/);
          return client;
        }));
        assert.equal(
          [...cloud.entra.requests.values()].reduce((a, b) => a + b),
          1,
          "one login, one token",
        );

        timer = setTimeout(all.resolve, ANSWER_AFTER);
        const replies = await Promise.all(
          clients.map((client) => client.say("To: <to@example.org>\r\n\r\nText\r\n.")),
        );

        for (const reply of replies) assert.match(reply, /^250 2\.0\.0/);
        assert.equal(cloud.graph.mostInFlight, CLIENTS);
        assert.equal(cloud.graph.requests, CLIENTS);
        for (const client of clients) client.destroy();
      } finally {
        clearTimeout(timer);
        await relay.running.stop();
        await cloud.close();
      }
    });
  });
}
