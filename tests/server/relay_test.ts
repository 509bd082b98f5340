// A whole relay: what a stop does to a message that Graph does not answer, and what
// is logged about it and about MAX_MEMORY.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { type RawConnection, type RawServer, startRawServer } from "../support/raw_server.ts";
import { TestRelays } from "../support/relay.ts";

const TOKEN = JSON.stringify({ token_type: "Bearer", expires_in: 3599, access_token: "e30.e30.x" });

describe("a relay", () => {
  const relays = new TestRelays();
  const services: RawServer[] = [];
  afterEach(async () => {
    await Promise.all(services.splice(0).map((service) => service.close()));
  });

  /** A relay whose Graph reads messages and does not respond. */
  async function start(environment: Readonly<Record<string, string>>) {
    const sent = Promise.withResolvers<void>();
    const service = await startRawServer(async (connection: RawConnection) => {
      const request = await connection.request(1);
      if (request.startsWith("POST /entra/")) {
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOKEN.length}\r\n\r\n${TOKEN}`);
        // Both services are one here, and so is the connection to them.
        await connection.request(2);
      }
      sent.resolve();
    });
    services.push(service);
    const { origin } = service.url;
    const cloud = { authority: new URL(`${origin}/entra`), endpoint: new URL(`${origin}/graph`) };
    return { ...await relays.start({ cloud, environment }), sent: sent.promise };
  }

  it("abandons a message SHUTDOWN_TIMEOUT after a stop: 451 4.4.2, one line for it, one for the stop", async () => {
    const { relay, authed, lines, linesOf, sent } = await start({ SHUTDOWN_TIMEOUT: "1s" });
    const client = await authed();
    const answer = client.send("a@example.com", "b@example.org");
    await sent;
    await relay.stop();
    assert.match(await answer, /^451 4\.4\.2 .*may have been sent/);
    assert.match(await client.reply(), /^421 4\.3\.2 /);
    const [message, ...others] = linesOf("Message may have been sent");
    assert.deepEqual([message?.["level"], message?.["code"], others], ["WARNING", "ABORTED", []]);
    const [cut] = linesOf("Messages were cut off");
    assert.deepEqual([cut?.["level"], cut?.["messages"], cut?.["waited_s"]], ["WARNING", 1, 1]);
    // The message's line comes first: the stop ends when everything has been logged.
    assert.ok(lines.indexOf(message!) < lines.indexOf(cut!));
  });

  it("logs nothing about messages when it stops without any", async () => {
    const { relay, authed, linesOf } = await start({ SHUTDOWN_TIMEOUT: "1s" });
    const client = await authed();
    await relay.stop();
    assert.match(await client.reply(), /^421 4\.3\.2 /);
    assert.deepEqual(linesOf("Messages were cut off"), []);
  });

  it("logs at the start how much memory there is for mail", async () => {
    const { linesOf } = await start({ MAX_MEMORY: "90m" });
    const [line] = linesOf("Memory for mail");
    const MIB = 1024 * 1024;
    assert.deepEqual([line?.["level"], line?.["memory_bytes"], line?.["messages_bytes"]], [
      "INFO",
      90 * MIB,
      60 * MIB,
    ]);
  });

  it("warns of a MAX_MEMORY that cannot hold the largest message, and refuses such a message with 452", async () => {
    const { authed, linesOf } = await start({ MAX_MEMORY: "30m", MAX_MESSAGE_SIZE: "21m" });
    const [line] = linesOf("MAX_MEMORY is too small");
    assert.deepEqual([line?.["level"], line?.["needed_bytes"]], [
      "WARNING",
      1.5 * 21 * 1024 * 1024,
    ]);
    const client = await authed();
    assert.match(await client.say(`MAIL FROM:<a@b> SIZE=${21 * 1024 * 1024}`), /^452 4\.3\.1 /);
    const [full] = linesOf("MAX_MEMORY is used up");
    const [refused] = linesOf("Refused by the relay");
    assert.deepEqual([full?.["level"], refused?.["level"], refused?.["reply"]], [
      "WARNING",
      "WARNING",
      452,
    ]);
    assert.match(await client.say(`MAIL FROM:<a@b> SIZE=${20 * 1024 * 1024}`), /^250 /);
  });
});
