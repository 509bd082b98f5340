// PROXY_PROTOCOL_NETWORKS with a real haproxy in front: the log and the Received field name the
// client, and haproxy's own checks pass without being logged.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ABSENT, Haproxy, PROXY_ADDRESS, sendFrom, WAYS } from "./haproxy.ts";
import { PROGRAMS, type Relay, run, sandbox, SECRET, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const CLIENT = "127.0.0.7";

for (const program of PROGRAMS) {
  // Skipped only if haproxy is not installed; CI installs it.
  describe(`haproxy in front of the relay on ${program.name}`, { skip: ABSENT }, () => {
    let relay: Relay;
    let haproxy: Haproxy;
    before(async () => {
      relay = await sandbox(program, {
        PROXY_PROTOCOL_NETWORKS: PROXY_ADDRESS,
        // For the variant whose TLS ends at haproxy.
        REQUIRE_TLS: "false",
        LOG_LEVEL: "DEBUG",
        LOG_FORMAT: "json",
      });
      haproxy = await Haproxy.start(relay);
    });
    after(async () => {
      await haproxy?.stop();
      assert.equal(await relay?.running.stop("SIGINT"), 0);
    });

    for (const [i, way] of WAYS.entries()) {
      it(`${way.name}: its client is in the log and in the Received field`, async () => {
        const subject = `way ${i}`;
        await sendFrom(CLIENT, {
          port: haproxy.ports[i]!,
          implicitTls: way.smtps || way.terminates === true,
          username: USERNAME,
          password: SECRET,
          from: "printer@example.com",
          to: "reader@example.org",
          subject,
        });
        const { id, raw } = await received(relay, subject);
        const protocol = way.terminates ? "ESMTPA" : "ESMTPSA";
        assert.match(
          raw,
          new RegExp(
            `^Received: from \\S+ \\(\\[127\\.0\\.0\\.7\\]\\)\\r\\n\\tby \\S+ with ${protocol} id `,
          ),
        );
        await relay.running.until("stderr", new RegExp(`"id":"${id}".*\n`));
        const sent = lines(relay, "Message sent").find((line) => line["id"] === id);
        assert.equal(sent?.["client"], CLIENT);
        const { connection } = sent;
        await relay.running.until(
          "stderr",
          new RegExp(`"connection":"${connection}".*"Connection ended".*\n`),
        );
        const [ended] = lines(relay, "Connection ended").filter((line) =>
          line["connection"] === connection
        );
        assert.deepEqual([ended?.["client"], ended?.["proxy"], ended?.["messages"]], [
          CLIENT,
          PROXY_ADDRESS,
          1,
        ]);
      });
    }

    it("haproxy's own checks pass, as haproxy's connections, without being logged", async () => {
      await haproxy.healthy();
      const own = lines(relay, "Connection ended").filter((line) =>
        line["client"] === PROXY_ADDRESS
      );
      assert.ok(own.length > 0);
      // With version 1, haproxy names itself as the client; with version 2, it sends LOCAL.
      assert.deepEqual(
        new Set(own.map((line) => line["proxy"])),
        new Set([PROXY_ADDRESS, undefined]),
      );
      assert.deepEqual(warnings(relay), []);
    });

    it("without send-proxy, the connection ends after five seconds, and one line names the setting", async () => {
      const begun = performance.now();
      const client = new SmtpClient(haproxy.bare);
      await client.closed();
      const seconds = (performance.now() - begun) / 1000;
      assert.ok(seconds > 4.9 && seconds < 9, `${seconds} s`);
      await assert.rejects(client.reply(), /the connection ended; unread: ""/);
      await relay.running.until("stderr", /no valid PROXY header.*\n/);
      const [line, ...more] = warnings(relay);
      assert.deepEqual(more, []);
      assert.match(
        String(line?.["message"]),
        /no valid PROXY header from an address in PROXY_PROTOCOL_NETWORKS/,
      );
      assert.equal(line?.["client"], PROXY_ADDRESS);
    });

    it("a header from elsewhere ends the connection, and one line names the setting", async () => {
      const before = warnings(relay).length;
      for (let i = 0; i < 3; i++) {
        const client = new SmtpClient(relay.smtp);
        assert.match(await client.reply(), /^220/);
        client.write("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n");
        await client.closed();
      }
      await relay.running.until("stderr", /(?:not in PROXY_PROTOCOL_NETWORKS.*\n[^]*){3}/);
      const [line, ...more] = warnings(relay).slice(before);
      assert.deepEqual(more, []);
      assert.match(String(line?.["message"]), /not in PROXY_PROTOCOL_NETWORKS/);
      assert.equal(line?.["client"], "127.0.0.1");
      const metrics = await (await fetch(`http://127.0.0.1:${relay.http}/metrics`)).text();
      assert.match(metrics, /proxy_headers_refused_total\{reason="foreign"\} 3\n/);
      assert.match(metrics, /proxy_headers_refused_total\{reason="missing"\} 1\n/);
    });
  });
}

for (const program of PROGRAMS) {
  describe(`a sandbox on ${program.name} that expects headers from this machine`, () => {
    it("sends its own first message, and its health check works as usual", async () => {
      const relay = await sandbox(program, {
        PROXY_PROTOCOL_NETWORKS: "127.0.0.0/8, ::1",
        REQUIRE_TLS: "false",
      });
      const check = run(program, ["healthcheck"], { HTTP_LISTEN: `127.0.0.1:${relay.http}` });
      assert.equal(await check.exited, 0);
      const client = new SmtpClient(relay.smtp);
      client.write("PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n");
      assert.match(await client.login(USERNAME, SECRET), /^235/);
      assert.match(await client.send("printer@example.com", "reader@example.org", "IPv6"), /^250/);
      assert.match(await client.say("QUIT"), /^221/);
      // RFC 5321 §4.1.3
      assert.match(
        (await received(relay, "IPv6")).raw,
        /^Received: from \S+ \(\[IPv6:2001:db8::7\]\)/,
      );
      assert.equal(await relay.running.stop("SIGINT"), 0);
    });
  });
}

/** All log lines so far with this message. */
function lines(relay: Relay, message: string): Record<string, unknown>[] {
  return log(relay).filter((line) => line["message"] === message);
}

/** The warnings about connections. */
function warnings(relay: Relay): Record<string, unknown>[] {
  return log(relay).filter((line) => line["level"] === "WARNING" && "connection" in line);
}

function log({ running }: Relay): Record<string, unknown>[] {
  const whole = running.stderr.slice(0, running.stderr.lastIndexOf("\n") + 1);
  return whole.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}

/** What Graph received for the message with this subject. */
async function received({ http }: Relay, subject: string): Promise<{ id: string; raw: string }> {
  const base = `http://127.0.0.1:${http}/api/messages`;
  const list = await (await fetch(base)).json() as { id: string; subject: string }[];
  const found = list.find((message) => message.subject === subject);
  assert.ok(found !== undefined, `${subject} has not arrived`);
  const raw = await (await fetch(`${base}/${found.id}/raw`)).text();
  const id = /^Received: [^]*? id ([0-9a-f]{16});/.exec(raw)?.[1];
  assert.ok(id !== undefined, raw.slice(0, 300));
  return { id, raw };
}
