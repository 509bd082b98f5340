// What the server does around its sessions: patience, faults, stops, clients that leave.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { afterEach, describe, it } from "node:test";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { Timeouts } from "../../src/server/connection.ts";
import type { ConnectionSummary, Handlers, Message } from "../../src/server/handlers.ts";
import { SmtpServer } from "../../src/server/server.ts";
import { REPLIES, type Reply, reply } from "../../src/smtp/reply.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";

const SENT = reply(250, "2.0.0", "OK id=1");
const PATIENT: Timeouts = { command: 60_000, data: 60_000, handshake: 60_000, linger: 60_000 };

describe("a server", () => {
  const servers: SmtpServer<true>[] = [];
  const clients: SmtpClient[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await Promise.all(servers.splice(0).map((server) => server.stop(1_000)));
  });

  async function start(
    handlers: Partial<Handlers<true>> = {},
    timeouts: Partial<Timeouts> = {},
  ): Promise<{ server: SmtpServer<true>; port: number }> {
    const server = new SmtpServer<true>({
      runtime: await currentRuntime(),
      session: {
        hostname: "relay.example",
        greeting: "ready",
        maxMessageSize: 50_000_000,
        maxRecipients: 10,
        requireTls: false,
      },
      identity: () => undefined,
      timeouts: { ...PATIENT, ...timeouts },
      handlers: {
        authenticate: () => Promise.resolve({ reply: REPLIES.authenticated, account: true }),
        submit: () => Promise.resolve(SENT),
        failed: (error) => {
          throw error;
        },
        ended: () => {},
        ...handlers,
      },
    });
    servers.push(server);
    const { port } = server.listen("127.0.0.1", 0, false);
    return { server, port };
  }

  function client(port: number): SmtpClient {
    const made = new SmtpClient(port);
    clients.push(made);
    return made;
  }

  /** A client that is about to end its message. */
  async function sending(port: number): Promise<SmtpClient> {
    const made = client(port);
    assert.match(await made.login("user", "secret"), /^235/);
    await made.say("MAIL FROM:<a@example.com>");
    await made.say("RCPT TO:<b@example.org>");
    assert.match(await made.say("DATA"), /^354/);
    return made;
  }

  it("says 421 4.4.2 to a client that sends no command in time (RFC 5321 §4.5.3.2.7)", async () => {
    const { port } = await start({}, { command: 50 });
    const silent = client(port);
    assert.match(await silent.reply(), /^220/);
    assert.match(await silent.reply(), /^421 4\.4\.2 /);
    await silent.closed();
  });

  it("says 421 4.4.2 to a client that stops inside its message, and submits nothing", async () => {
    const submitted: Message[] = [];
    const { port } = await start({
      submit: (_, message) => {
        submitted.push(message);
        return Promise.resolve(SENT);
      },
    }, { data: 50 });
    const stuck = await sending(port);
    stuck.write("Subject: half\r\n\r\nof a mess");
    assert.match(await stuck.reply(), /^421 4\.4\.2 /);
    await stuck.closed();
    assert.deepEqual(submitted, []);
  });

  it("is as patient as delivery takes: no timeout while the client waits for us", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const { port } = await start({ submit: () => delivery.promise }, { command: 700, data: 700 });
    const waiting = await sending(port);
    waiting.write("x\r\n.\r\n");
    // The second client's timeout shows that the time is over for which the first has waited too.
    const other = client(port);
    await other.reply();
    assert.match(await other.reply(), /^421 4\.4\.2 /);
    delivery.resolve(SENT);
    assert.match(await waiting.reply(), /^250 2\.0\.0 /);
  });

  it("does not submit a message that the client broke off", async () => {
    const submitted: Message[] = [];
    const ended = Promise.withResolvers<ConnectionSummary>();
    const { port } = await start({
      submit: (_, message) => {
        submitted.push(message);
        return Promise.resolve(SENT);
      },
      ended: ended.resolve,
    });
    const leaving = await sending(port);
    leaving.write("half a message\r\n");
    leaving.end();
    await ended.promise;
    assert.deepEqual(submitted, []);
  });

  it("finishes a delivery whose client has left, and counts it", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<ConnectionSummary>();
    const { port } = await start({
      submit: () => {
        begun.resolve();
        return delivery.promise;
      },
      ended: ended.resolve,
    });
    const leaving = await sending(port);
    leaving.write("x\r\n.\r\n");
    await begun.promise;
    leaving.end();
    delivery.resolve(SENT);
    assert.equal((await ended.promise).messages, 1);
  });

  it("delivers nothing more of what a client had sent ahead when its connection breaks", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<ConnectionSummary>();
    let submitted = 0;
    const { port } = await start({
      submit: () => {
        submitted++;
        begun.resolve();
        return delivery.promise;
      },
      ended: ended.resolve,
    });
    const eager = client(port);
    await eager.login("user", "secret");
    const message = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nBDAT 3 LAST\r\nx\r\n";
    eager.write(message.repeat(3));
    await begun.promise;
    eager.reset();
    await ended.promise;
    delivery.resolve(SENT);
    // A round trip on another connection: time enough for a second delivery to begin.
    const other = client(port);
    await other.login("user", "secret");
    assert.equal(submitted, 1);
  });

  it("answers what a client pipelined behind its message only after the verdict, and reads no further ahead", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const { port } = await start({ submit: () => delivery.promise });
    const eager = await sending(port);
    eager.write("x\r\n.\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
    // More than any buffer between us: it waits in the client, not in the relay's memory.
    eager.write(Buffer.alloc(40_000_000, "y\r\n"));
    delivery.resolve(SENT);
    assert.match(await eager.reply(), /^250 2\.0\.0/);
    assert.match(await eager.reply(), /^250 2\.1\.0/);
    assert.match(await eager.reply(), /^250 2\.1\.5/);
    assert.match(await eager.reply(), /^354/);
    eager.write("\r\n.\r\n");
    assert.match(await eager.reply(), /^250 2\.0\.0/);
  });

  it("answers a fault of its own with 421 4.3.0, in that session alone", async () => {
    const faults: unknown[] = [];
    let broken = true;
    const { port } = await start({
      submit: () => broken ? Promise.reject(new Error("bug")) : Promise.resolve(SENT),
      failed: (error) => faults.push(error),
    });
    const unlucky = await sending(port);
    const lucky = await sending(port);
    assert.match(await unlucky.say("x\r\n."), /^421 4\.3\.0 /);
    await unlucky.closed();
    broken = false;
    assert.match(await lucky.say("x\r\n."), /^250 /);
    assert.deepEqual(faults.map(String), ["Error: bug"]);
  });

  it("stops: 421 to idle clients, a delivery under way is finished and answered (RFC 5321 §3.8)", async () => {
    const delivery = Promise.withResolvers<Reply>();
    const begun = Promise.withResolvers<void>();
    const { server, port } = await start({
      submit: () => {
        begun.resolve();
        return delivery.promise;
      },
    });
    const idle = client(port);
    await idle.reply();
    const busy = await sending(port);
    busy.write("x\r\n.\r\n");
    await begun.promise;
    const stopped = server.stop(10_000);
    assert.match(await idle.reply(), /^421 4\.3\.2 /);
    delivery.resolve(SENT);
    assert.match(await busy.reply(), /^250 2\.0\.0 /);
    assert.match(await busy.reply(), /^421 4\.3\.2 /);
    assert.equal(await stopped, true);
    assert.equal(server.connections, 0);
  });

  it("stops in the end even where a delivery does not", async () => {
    const begun = Promise.withResolvers<void>();
    const { server, port } = await start({
      submit: () => {
        begun.resolve();
        return new Promise(() => {});
      },
    });
    const stuck = await sending(port);
    stuck.write("x\r\n.\r\n");
    await begun.promise;
    assert.equal(await server.stop(50), false);
    await stuck.closed();
  });
});
