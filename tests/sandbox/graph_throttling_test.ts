/**
 * The simulated Graph's limit of concurrent requests for each app and mailbox.
 * https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SMALLEST_UPLOAD } from "../../src/sandbox/graph.ts";
import type { GraphOptions } from "../../src/sandbox/graph.ts";
import { type Ask, GraphClient, MESSAGE, type SeenResponse } from "./graph_client.ts";

/** A simulation whose requests last until the test releases them. */
function held(options: Partial<GraphOptions> = {}) {
  const waiting: (() => void)[] = [];
  const arrivals: (() => void)[] = [];
  let holding = true;
  const client = new GraphClient({
    intercept: async () => {
      if (!holding) return undefined;
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        arrivals.shift()?.();
      });
      return undefined;
    },
    ...options,
  });
  const send = (asked: Ask = {}) => client.mime("sendMail", MESSAGE, asked);
  /** Starts a request and waits until it is in flight. */
  const start = async (asked: Ask = {}): Promise<{ response: Promise<SeenResponse> }> => {
    const arrived = new Promise<void>((resolve) => arrivals.push(resolve));
    const response = send(asked);
    await arrived;
    return { response };
  };
  const letGo = () => {
    holding = false;
    for (const go of waiting.splice(0)) go();
  };
  return { client, send, start, letGo };
}

describe("the limit of concurrent requests", () => {
  it("is 4 for an app and mailbox; the fifth gets 429 with Retry-After, and sends nothing", async () => {
    const { client, send, start, letGo } = held();
    const under = [await start(), await start(), await start(), await start()];
    const fifth = await send();
    assert.equal(fifth.line, "429 ApplicationThrottled");
    assert.equal(fifth.json.error.message, "Application is over its MailboxConcurrency limit.");
    assert.equal(fifth.headers.get("retry-after"), "1");
    letGo();
    for (const { response } of under) assert.equal((await response).line, "202");
    assert.equal(client.delivered.length, 4);
    assert.deepEqual([client.graph.throttled, client.graph.requests], [1, 5]);
    assert.equal(client.graph.mostPerMailbox, 4);
    assert.equal((await send()).line, "202", "there is room again");
  });

  it("is configurable, and so is Retry-After", async () => {
    const { send, start, letGo } = held({ concurrency: 1, retryAfter: 7 });
    const { response } = await start();
    assert.equal((await send()).headers.get("retry-after"), "7");
    letGo();
    assert.equal((await response).line, "202");
  });

  it("does not apply to another mailbox or app, but to the same mailbox in other case", async () => {
    const { client, send, start, letGo } = held({ concurrency: 1 });
    const under = [
      await start(),
      await start({ mailbox: "bob@x.test" }),
      await start({ token: "other-app" }),
    ];
    assert.equal((await send({ mailbox: "ANN@x.test" })).line, "429 ApplicationThrottled");
    letGo();
    for (const { response } of under) assert.equal((await response).line, "202");
    assert.deepEqual([client.graph.throttled, client.graph.mostInFlight], [1, 4]);
  });

  it("applies to every kind of request, uploads too, although they have no token", async () => {
    let hold = false;
    const release = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const client = new GraphClient({
      concurrency: 1,
      intercept: async (_, operation) => {
        if (!hold || operation !== "sendMail") return undefined;
        arrived.resolve();
        await release.promise;
        return undefined;
      },
    });
    const draft = await client.draft();
    const url = await client.upload(draft, SMALLEST_UPLOAD);
    hold = true;
    const sending = client.mime("sendMail", MESSAGE);
    await arrived.promise;
    for (
      const response of [
        await client.mime("messages", MESSAGE),
        await client.json(`${draft}/attachments`, {}),
        await client.session(draft, { size: SMALLEST_UPLOAD }),
        await client.put(url, new Uint8Array(10), 0, SMALLEST_UPLOAD),
        await client.send(draft),
        await client.ask(draft, { method: "DELETE" }),
      ]
    ) assert.equal(response.line, "429 ApplicationThrottled");
    release.resolve();
    assert.equal((await sending).line, "202");
    assert.equal(client.graph.drafts, 1);
  });
});
