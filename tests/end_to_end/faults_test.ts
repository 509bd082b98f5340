// An uncaught error in one connection never ends the process or another connection.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { startCloud } from "../support/cloud.ts";
import { root, SECRET, serve, SOURCE, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const MAIN = `${root}src/main.ts`;
const FAULTY = fileURLToPath(new URL("./faulty_relay.ts", import.meta.url));

/** What a client sees of a fault in its own connection. */
const FAULTS: Readonly<Record<string, "421" | "closed" | "nothing">> = {
  session: "421",
  callback: "closed",
  timer: "nothing",
  microtask: "nothing",
  rejection: "nothing",
  tick: "421",
};

// The executable has no faults on demand; it is the same code as Bun's.
const { name, command } = SOURCE;
const program = { name, command: command.map((word) => word === MAIN ? FAULTY : word) };
describe(`a fault in one connection, on ${name}`, () => {
  it("ends that connection alone, is logged and counted, and the relay continues", async () => {
    const cloud = await startCloud();
    const relay = await serve(program, {
      TLS_SOURCE: "off",
      REQUIRE_TLS: "false",
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      GRAPH_ENDPOINT: cloud.endpoint.href,
    });
    const honest = new SmtpClient(relay.smtp);
    assert.match(await honest.login(USERNAME, SECRET), /^235/);
    for (const [fault, seen] of Object.entries(FAULTS)) {
      const unlucky = new SmtpClient(relay.smtp);
      assert.match(await unlucky.reply(), /^220/);
      unlucky.write(`FAULT ${fault}\r\n`);
      if (seen === "421") {
        // An unknown command else.
        let reply = await unlucky.reply();
        if (reply.startsWith("500 5.5.1")) reply = await unlucky.reply();
        assert.match(reply, /^421 4\.3\.0 /, fault);
      } else if (seen === "closed") await unlucky.closed();
      else assert.match(await unlucky.reply(), /^500 5\.5\.1/, fault);
      if (seen !== "closed") {
        await relay.running.until("stderr", new RegExp(`ERROR Internal error.*fault: ${fault}`));
      }
      unlucky.destroy();
      assert.match(await honest.send("a@example.com", "b@example.org"), /^250/, fault);
      // The next line about uncaught errors is not due before.
      if (seen === "nothing") await new Promise((resolve) => setTimeout(resolve, 1_100));
    }
    const metrics = await (await fetch(`http://127.0.0.1:${relay.http}/metrics`)).text();
    const count = Number(/_internal_errors_total (\d+)/.exec(metrics)?.[1]);
    assert.ok(count >= 5, metrics);
    honest.destroy();
    assert.equal(await relay.running.stop(), 0);
    await cloud.close();
  });
});
