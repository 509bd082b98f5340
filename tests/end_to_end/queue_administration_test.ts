// An administrator beside a running relay: what the relay gave up is found by the id of its 250, tried again,
// and sent; `check` looks at the queue meanwhile.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { queueKey } from "../support/fake_queue.ts";
import { PROGRAMS, type Relay, run, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

for (const program of PROGRAMS) {
  describe(`a queue with its relay, on ${program.name}`, () => {
    let folder: string;
    let cloud: CloudServer;
    let relay: Relay;
    let environment: Record<string, string>;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), "relay-administration-"));
      cloud = await startCloud();
      environment = {
        DELIVERY_MODE: "queue",
        QUEUE_URL: `sqlite:${join(folder, "queue.db")}`,
        QUEUE_KEY: queueKey().reveal(),
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        LOG_LEVEL: "INFO",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
      };
      relay = await serve(program, environment);
    });
    after(async () => {
      await relay.running.stop();
      await cloud.close();
      rmSync(folder, { recursive: true });
    });

    async function command(...args: readonly string[]) {
      const running = run(program, args, environment);
      return { status: await running.exited, stdout: running.stdout, stderr: running.stderr };
    }

    it("says at the start where its queue is", () => {
      assert.match(relay.running.stderr, /WARNING Relay started .* queue=\S*queue\.db\n/);
    });

    it("sends again what it gave up, once an administrator says so", async () => {
      cloud.faults.add({ on: "sendMail", status: 400, code: "ErrorInvalidRecipients" });
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login(USERNAME, SECRET), /^235 /);
      const reply = await client.send("scanner@example.com", "ann@example.org");
      client.destroy();
      const [, id] = /^250 2\.0\.0 .*queued as ([0-9a-f]{16})$/.exec(reply) ?? [];
      assert(id !== undefined, reply);
      await relay.running.until("stderr", new RegExp(`given up.*id=${id}|id=${id}.*given up`, "i"));

      const shown = await command("queue", "show", id);
      assert.equal(shown.status, 0, shown.stderr);
      assert.match(shown.stdout, /^state +dead$/m);
      assert.match(shown.stdout, /^code +ErrorInvalidRecipients$/m);
      const checked = await command("check");
      assert.match(checked.stdout, /^ok {3}queue: .*queue\.db has 1 message \(1 dead\)/m);
      assert.match(
        checked.stdout,
        /^warn queue: 0 held, 1 dead\. Fix: see why: smtp-oauth-relay queue/m,
      );

      const retried = await command("queue", "retry", id);
      assert.deepEqual([retried.status, retried.stdout], [0, `Message "${id}" is due now\n`]);
      await relay.running.until("stderr", new RegExp(`sent.*id=${id}|id=${id}.*sent`, "i"));
      const [message, ...others] = cloud.inbox.list();
      assert.deepEqual([message?.from, others.length], ["scanner@example.com", 0]);
      assert.equal((await command("queue", "list")).stdout, "No messages.\n");
    });

    it("opens with the key that it was sealed with, and check says so before a start does", async () => {
      const { stdout, status } = await command("check");
      assert.match(stdout, /^ok {3}queue: .* has 0 messages/m);
      assert.equal(status, 0, stdout);
      const right = environment["QUEUE_KEY"]!;
      environment["QUEUE_KEY"] = queueKey().reveal();
      const wrong = await command("check");
      assert.match(
        wrong.stdout,
        /^FAIL queue: QUEUE_KEY lacks the key .*QUEUE_KEY=NEW,OLD \[queue\.key\]$/m,
      );
      environment["QUEUE_KEY"] += `,${right}`;
      assert.equal((await command("check")).status, 0);
      environment["QUEUE_KEY"] = right;
    });
  });
}
