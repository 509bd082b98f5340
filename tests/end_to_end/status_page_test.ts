// The status page of the program itself: served, live, found by the id of the 250, and no reason for a
// slow stop.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { StatusView } from "../../src/status/view.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { PROGRAMS, type Relay, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

for (const program of PROGRAMS) {
  describe(`the status page of ${program.name}`, () => {
    let cloud: CloudServer;
    let relay: Relay;
    let stopped: boolean;
    beforeEach(async () => {
      stopped = false;
      cloud = await startCloud();
      relay = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        LOG_LEVEL: "INFO",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
      });
    });
    afterEach(async () => {
      if (!stopped) await relay.running.stop();
      await cloud.close();
    });

    it("is served with its own script and style, and names the version", async () => {
      const response = await fetch(`http://127.0.0.1:${relay.http}/`);
      assert.equal(response.status, 200);
      assert.match(response.headers.get("content-security-policy") ?? "", /script-src 'sha256-/);
      const html = await response.text();
      assert.match(html, /--accent: #/);
      assert.match(html, /function words\(/);
      const data = await fetch(`http://127.0.0.1:${relay.http}/status/data`);
      const { overview, settings = [] } = await data.json() as StatusView;
      assert.match(overview.version, /^smtp-oauth-relay /);
      const shown = settings.find(({ name }) => name === "LOG_LEVEL");
      assert.deepEqual(shown, { name: "LOG_LEVEL", value: "INFO", changed: true });
    });

    it("is told of a message at once, with the id of its reply and of its log line", async () => {
      const events = await fetch(`http://127.0.0.1:${relay.http}/status/events`);
      const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader();
      let told = "";
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login(USERNAME, SECRET), /^235 /);
      const [, id] = /id=(\S+)/.exec(await client.send("a@example.com", "b@example.org"))!;
      client.destroy();
      while (!told.includes(`"id":"${id}"`)) told += (await reader.read()).value;
      await relay.running.until("stderr", new RegExp(`Message sent.*id=${id}`));
      assert.ok(!told.includes("b@example.org"));

      // A page that is open does not delay the stop.
      const begun = performance.now();
      stopped = true;
      assert.equal(await relay.running.stop(), 0);
      assert.ok(performance.now() - begun < 5_000);
      await reader.cancel().catch(() => {});
    });
  });
}
