// A client that disconnects while its message is being sent, as scanners do after 30 to 60 seconds: the
// message is sent anyway, and not a second time when the client tries again.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { PROGRAMS, type Relay, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const MESSAGE = "From: <scan@example.com>\r\nTo: <to@example.org>\r\n" +
  "Date: Mon, 02 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@scan.example.com>\r\n\r\nScan\r\n.";
const FIRST = 1;

for (const program of PROGRAMS) {
  describe(`a client that disconnects before its reply, on ${program.name}`, () => {
    /** A Graph whose first response waits until the test releases it. */
    async function stage(environment: Record<string, string> = {}) {
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      let requests = 0;
      const cloud = await startCloud({
        graph: {
          intercept: async () => {
            if (++requests !== FIRST) return undefined;
            asked.resolve();
            await answer.promise;
            return undefined;
          },
        },
      });
      const relay = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        LOG_LEVEL: "INFO",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        ...environment,
      });
      return { cloud, relay, asked: asked.promise, letGo: answer.resolve };
    }

    async function submit(relay: Relay): Promise<{ client: SmtpClient; reply: Promise<string> }> {
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login(USERNAME, SECRET), /^235/);
      await client.say("MAIL FROM:<scan@example.com>");
      await client.say("RCPT TO:<to@example.org>");
      assert.match(await client.say("DATA"), /^354/);
      const reply = client.say(MESSAGE);
      // The client that disconnects is not awaited.
      reply.catch(() => {});
      return { client, reply };
    }

    async function end(relay: Relay, cloud: CloudServer): Promise<void> {
      await relay.running.stop();
      await cloud.close();
    }

    for (const way of ["reset", "destroy"] as const) {
      it(`by ${way}, and sends the message again, gets 250 with the first id once; later it is a new message`, async () => {
        const { cloud, relay, asked, letGo } = await stage();
        try {
          const { client } = await submit(relay);
          await asked;
          client[way]();
          const again = (await submit(relay)).reply;
          letGo();
          const first = /Message sent.* id=(\w+)/.exec(
            (await relay.running.until("stderr", /.*Message sent.*\n/))[0],
          )![1]!;
          assert.match(await again, new RegExp(`^250 2\\.0\\.0 .*${first}`));
          assert.equal(cloud.inbox.list().length, 1);
          // It stayed this time: what it sends now is another message, such as the next alert.
          assert.match(await (await submit(relay)).reply, /^250 2\.0\.0/);
          assert.equal(cloud.inbox.list().length, 2);
        } finally {
          await end(relay, cloud);
        }
      });
    }

    it("is not considered gone when it only half-closes, as netcat does", async () => {
      const { cloud, relay, asked, letGo } = await stage();
      try {
        const { client, reply } = await submit(relay);
        await asked;
        client.end();
        const again = (await submit(relay)).reply;
        letGo();
        assert.match(await reply, /^250 /);
        assert.match(await again, /^250 /);
        assert.equal(cloud.inbox.list().length, 2);
      } finally {
        await end(relay, cloud);
      }
    });

    it("is not considered gone when it half-closes after its QUIT, as scripts do", async () => {
      const { cloud, relay, asked, letGo } = await stage();
      try {
        const { client, reply } = await submit(relay);
        await asked;
        client.write("QUIT\r\n");
        client.end();
        // A round trip on another connection: the relay has seen it by then.
        assert.match(await new SmtpClient(relay.smtp).login(USERNAME, SECRET), /^235/);
        letGo();
        assert.match(await reply, /^250 /);
        assert.match(await client.reply(), /^221 /);
        assert.match(await (await submit(relay)).reply, /^250 /);
        assert.equal(cloud.inbox.list().length, 2);
      } finally {
        await end(relay, cloud);
      }
    });

    it("sends the message twice when DUPLICATE_WINDOW is off", async () => {
      const { cloud, relay, asked, letGo } = await stage({ DUPLICATE_WINDOW: "off" });
      try {
        const { client } = await submit(relay);
        await asked;
        client.reset();
        letGo();
        await relay.running.until("stderr", /Message sent/);
        assert.match(await (await submit(relay)).reply, /^250 2\.0\.0/);
        assert.equal(cloud.inbox.list().length, 2);
      } finally {
        await end(relay, cloud);
      }
    });

    it("does not suppress the same message of a client that received its reply", async () => {
      const { cloud, relay, letGo } = await stage();
      try {
        letGo();
        for (let i = 0; i < 2; i++) assert.match(await (await submit(relay)).reply, /^250 2\.0\.0/);
        assert.equal(cloud.inbox.list().length, 2);
      } finally {
        await end(relay, cloud);
      }
    });
  });
}
