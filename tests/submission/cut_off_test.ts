/** What a cut-off leaves of the messages that are under way and of those that wait for their turn. */
import assert from "node:assert/strict";
import { after, it } from "node:test";
import { HttpClient } from "../../src/http/client.ts";
import { buildSubmissions } from "../../src/relay/submission.ts";
import { Secret } from "../../src/secret.ts";
import type { ReceivedMessage } from "../../src/submission/submission_service.ts";
import { startCloud } from "../support/cloud.ts";
import { octets } from "../support/content.ts";
import { USERNAME } from "../support/logins.ts";
import { settingsOf } from "../support/settings.ts";
import { WaitingTestClient } from "../support/waiting_client.ts";

const CLIENT = { connection: "c", address: "192.0.2.1", port: 1 };

function message(to: string): ReceivedMessage {
  return {
    envelope: { from: "ann@x.test", recipients: [to] },
    content: [Uint8Array.from(octets("From: ann@x.test\r\n\r\nText\r\n"))],
    facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false },
    client: CLIENT,
    receiving: 0,
  };
}

it("a message that waits for its mailbox is not begun when the one before it is cut off", async () => {
  const arrived = Promise.withResolvers<void>();
  const { promise: never, resolve: end } = Promise.withResolvers<void>();
  let requests = 0;
  const cloud = await startCloud({
    graph: {
      async intercept() {
        requests++;
        arrived.resolve();
        await never;
        return undefined;
      },
    },
  });
  const http = new HttpClient();
  after(async () => {
    http.close();
    await cloud.close();
  });
  const settings = settingsOf({
    AZURE_AUTHORITY_HOST: cloud.authority.href,
    GRAPH_ENDPOINT: cloud.endpoint.href,
    GRAPH_CONCURRENCY: "1",
  });
  const { service, cutOff } = buildSubmissions({ settings, http, notify() {}, entries: undefined });
  const password = new Secret("any-secret");
  const login = { mechanism: "PLAIN", username: USERNAME, password } as const;
  const { principal } = await service.authenticate(login, CLIENT);
  const first = service.submit(principal!, message("bea@x.test"), new WaitingTestClient());
  await arrived.promise;
  const waiting = new WaitingTestClient();
  const second = service.submit(principal!, message("cy@x.test"), waiting);
  while (waiting.waits.length === 0) await Promise.resolve();
  cutOff();
  assert.deepEqual([(await first).code, (await first).enhanced], [451, "4.4.2"]);
  end();
  const { code, text } = await second;
  assert.equal(code, 451);
  assert.match(String(text), /^STOPPING: /);
  assert.equal(requests, 1);
});
