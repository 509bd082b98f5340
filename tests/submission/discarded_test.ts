/** When the memory of a message is released: with its reply, and not before. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { HttpClient } from "../../src/http/client.ts";
import { buildSubmissions } from "../../src/relay/submission.ts";
import { Secret } from "../../src/secret.ts";
import { settingsOf } from "../support/settings.ts";
import { ContentBuilder } from "../../src/smtp/content.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import type { Principal, ReceivedMessage } from "../../src/submission/submission_service.ts";
import { octets } from "../support/content.ts";
import { USERNAME } from "../support/logins.ts";
import { WaitingTestClient } from "../support/waiting_client.ts";

const CLIENT = { connection: "c", address: "192.0.2.1", port: 1 };
const FACTS = { helo: "printer", esmtp: true, tls: true, smtputf8: false };

/** A message as received from a socket. */
function message(): { readonly message: ReceivedMessage; readonly segment: Uint8Array } {
  const segment = Uint8Array.from(
    octets(`From: ann@x.test\r\nSubject: s\r\n\r\n${"text\r\n".repeat(10_000)}`),
  );
  const builder = new ContentBuilder();
  builder.append(segment);
  const envelope = { from: "ann@x.test", recipients: ["bea@x.test"] };
  return {
    segment,
    message: { envelope, content: builder.finish(), facts: FACTS, client: CLIENT, receiving: 0 },
  };
}

describe("the memory of a message that is submitted", () => {
  let cloud: CloudServer;
  let http: HttpClient;
  let arrived: Promise<void>;
  let answer: (status: number) => void;
  beforeEach(async () => {
    const asked = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<number>();
    arrived = asked.promise;
    answer = answered.resolve;
    cloud = await startCloud({
      graph: {
        async intercept() {
          asked.resolve();
          return new Response(null, { status: await answered.promise });
        },
      },
    });
    http = new HttpClient();
  });
  afterEach(async () => {
    answer(202);
    http.close();
    await cloud.close();
  });

  async function start() {
    const settings = settingsOf({
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      GRAPH_ENDPOINT: cloud.endpoint.href,
    });
    const work = buildSubmissions({ settings, http, notify() {}, entries: undefined });
    const credentials = {
      mechanism: "PLAIN",
      username: USERNAME,
      password: new Secret("any-secret"),
    } as const;
    const { principal } = await work.service.authenticate(credentials, CLIENT);
    const submit = (message: ReceivedMessage, client = new WaitingTestClient()) =>
      work.service.submit(principal as Principal, message, client);
    return { ...work, submit };
  }

  for (const status of [202, 400]) {
    it(`is released with the reply to Graph's ${status}, and not before`, async () => {
      const { submit } = await start();
      const { message: sent, segment } = message();
      const { length } = segment;
      const verdict = submit(sent);
      await arrived;
      assert.equal(segment.length, length);
      answer(status);
      await verdict;
      assert.equal(segment.length, 0);
    });
  }

  it("stays during a delivery whose client has gone, and a retry is recognized", async () => {
    const { submit } = await start();
    const { message: sent, segment } = message();
    const { length } = segment;
    const client = new WaitingTestClient();
    const first = submit(sent, client);
    await arrived;
    client.leave(false);
    const { message: again, segment: other } = message();
    const second = submit(again);
    assert.equal(segment.length, length);
    answer(202);
    const [{ text }, repeated] = await Promise.all([first, second]);
    assert.equal(repeated.text, text);
    assert.equal(segment.length + other.length, 0);
    const { message: third, segment: last } = message();
    // It is recognized by its fingerprint, not by its octets.
    assert.equal((await submit(third)).text, text);
    assert.equal(last.length, 0);
  });

  it("stays until a delivery that is cut off has ended", async () => {
    const { submit, cutOff } = await start();
    const { message: sent, segment } = message();
    const verdict = submit(sent);
    await arrived;
    cutOff();
    assert.ok(segment.length > 0);
    const { code } = await verdict;
    assert.equal(code, 451);
    assert.equal(segment.length, 0);
  });
});
