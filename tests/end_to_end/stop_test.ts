// A clean stop of the real program, clause by clause; and what the program reports about its
// limits.

import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { startCloud } from "../support/cloud.ts";
import { PROGRAMS, type Relay, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const PLAIN = { TLS_SOURCE: "off", REQUIRE_TLS: "false" };

for (const program of PROGRAMS) {
  describe(`a stop, on ${program.name}`, () => {
    /** A relay with a message in flight to a Graph that answers when the test releases it. */
    async function underWay(environment: Record<string, string> = {}) {
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      const cloud = await startCloud({
        graph: {
          intercept: async () => {
            asked.resolve();
            await answer.promise;
            return undefined;
          },
        },
      });
      const relay = await serve(program, {
        ...PLAIN,
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        ...environment,
      });
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login(USERNAME, SECRET), /^235/);
      const reply = client.send("a@example.com", "b@example.org");
      reply.catch(() => {});
      await asked.promise;
      return { relay, client, reply, letGo: answer.resolve, cloud };
    }

    it("refuses new clients, sends idle and held ones 421, finishes mail in flight, and exits with 0", async () => {
      const { relay, client, reply, letGo, cloud } = await underWay({
        MAX_CONNECTIONS_PER_IP: "1",
      });
      const idle = new SmtpClient(relay.smtp);
      assert.match(await idle.reply(), /^220/);
      const held = new SmtpClient(relay.smtp);
      await connections(relay, 3);
      const stopped = relay.running.stop("SIGTERM");
      assert.match(await idle.reply(), /^421 4\.3\.2 /);
      assert.match(await held.reply(), /^421 4\.3\.2 /);
      await relay.running.until("stderr", /Relay is stopping/);
      // Load balancers send it no more clients.
      const ready = await fetch(`http://127.0.0.1:${relay.http}/readyz`);
      assert.equal(ready.status, 503, await ready.text());
      const late = new SmtpClient(relay.smtp);
      await assert.rejects(late.reply(), /ended/);
      letGo();
      assert.match(await reply, /^250 2\.0\.0/);
      assert.match(await client.reply(), /^421 4\.3\.2/);
      assert.equal(await stopped, 0);
      await cloud.close();
    });

    it("waits for a message that nothing but its turn holds up, without clients and pages", async () => {
      // After this 429 the delivery has no time left for a repeat, and its mailbox is paused.
      let first = true;
      const cloud = await startCloud({
        graph: {
          intercept(context) {
            if (!first) return undefined;
            first = false;
            context.header("Retry-After", "2");
            context.header("Connection", "close");
            return context.json({ error: { code: "ApplicationThrottled" } }, 429);
          },
        },
      });
      const { running, smtp } = await serve(program, {
        ...PLAIN,
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        HTTP_LISTEN: "off",
        DELIVERY_TIMEOUT: "1s",
        LOG_LEVEL: "INFO",
      });
      const client = new SmtpClient(smtp);
      assert.match(await client.login(USERNAME, SECRET), /^235/);
      assert.match(await client.send("a@example.com", "b@example.org"), /^451/);
      await client.say("MAIL FROM:<a@example.com>");
      await client.say("RCPT TO:<b@example.org>");
      assert.match(await client.say("DATA"), /^354/);
      client.write("From: a@example.com\r\n\r\nText\r\n.\r\n");
      client.end();
      const stopped = running.stop();
      await running.until("stderr", /Relay is stopping/);
      client.destroy();
      assert.equal(await stopped, 0);
      assert.match(running.stderr, /INFO Message sent .*\n(?:.*\n)*.*Relay stopped\n$/);
      await cloud.close();
    });

    it("exits immediately on a second signal, whatever is in flight", async () => {
      for (const [first, second] of [["SIGTERM", "SIGTERM"], ["SIGINT", "SIGTERM"]] as const) {
        const { relay, letGo, cloud } = await underWay();
        const ended = relay.running.stop(first);
        await relay.running.until("stderr", /Relay is stopping/);
        process.kill(relay.running.child.pid!, second);
        assert.equal(await ended, 1);
        assert.match(
          relay.running.stderr,
          new RegExp(`WARNING Relay ended at once by a second signal.* signal=${second}\n$`),
        );
        letGo();
        await cloud.close();
      }
    });
  });

  describe(`limits, on ${program.name}`, () => {
    it("that are hit are logged, and counted at /metrics by their setting", async () => {
      const relay = await serve(program, {
        ...PLAIN,
        MAX_CONNECTIONS: "3",
        MAX_CONNECTIONS_PER_IP: "2",
        MAX_ERRORS: "3",
      });
      const one = new SmtpClient(relay.smtp);
      assert.match(await one.reply(), /^220/);
      const two = new SmtpClient(relay.smtp);
      assert.match(await two.reply(), /^220/);
      const overLimit = new SmtpClient(relay.smtp);
      assert.match(await overLimit.reply(), /^421 4\.7\.0/);
      await overLimit.closed();
      for (let i = 0; i < 3; i++) assert.match(await two.say("XYZZY"), /^500/);
      assert.match(await two.reply(), /^421 4\.7\.0/);
      const metrics = await (await fetch(`http://127.0.0.1:${relay.http}/metrics`)).text();
      for (const setting of ["MAX_CONNECTIONS_PER_IP", "MAX_ERRORS"]) {
        assert.ok(metrics.includes(`limit_hits_total{setting="${setting}"} 1\n`), metrics);
        await relay.running.until(
          "stderr",
          new RegExp(
            `WARNING Connection (?:refused|closed).* client=127\\.0\\.0\\.1 setting=${setting}`,
          ),
        );
      }
      one.destroy();
      assert.equal(await relay.running.stop(), 0);
    });

    if (process.platform === "linux") {
      it("on open files that are too low for MAX_CONNECTIONS are warned about at the start", async () => {
        for (const [connections, warned] of [["101", true], ["100", false]] as const) {
          const limited = {
            ...program,
            command: ["/bin/sh", "-c", 'ulimit -n 600; exec "$@"', "sh", ...program.command],
          };
          const relay = await serve(limited, { ...PLAIN, MAX_CONNECTIONS: connections });
          const line = /WARNING The limit of open files is too low for MAX_CONNECTIONS: .*\n/.exec(
            relay.running.stderr,
          )?.[0];
          assert.equal(line !== undefined, warned, relay.running.stderr);
          if (line !== undefined) {
            assert.match(line, /LimitNOFILE= .* ulimit -n,.*limit=600 needed=602 .*enough_for=100/);
          }
          assert.equal(await relay.running.stop(), 0);
        }
      });
    }
  });
}

/** Waits until the relay has so many connections. */
async function connections(relay: Relay, count: number): Promise<void> {
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${relay.http}/readyz`);
    const { parts } = await answer.json() as { parts: { smtp: { connections: number } } };
    if (parts.smtp.connections >= count) return;
  }
}
