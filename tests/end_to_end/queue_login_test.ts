// Logins to a relay with a queue while Entra ID does not answer, and secrets that it refuses later.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { CLIENT, PROGRAMS, TENANT, USERNAME } from "./programs.ts";
import { QueueWorld, send, untilIs } from "./queue_world.ts";

const OLD = "the-secret-until-today";
const NEW = "the-secret-from-today";
const STRANGER = `${TENANT}@33333333-3333-3333-3333-333333333333`;

for (const program of PROGRAMS) {
  describe(`logins to a queue, on ${program.name}`, () => {
    let world: QueueWorld;
    /** Secrets that Entra ID refuses as expired. */
    let expired: string[];
    afterEach(() => world.close());

    async function open(): Promise<void> {
      expired = [];
      world = await QueueWorld.open(program, {}, {
        async intercept(context) {
          const form = new URLSearchParams(await context.req.text());
          if (!expired.includes(form.get("client_secret") ?? "")) return undefined;
          const error_description =
            "AADSTS7000222: The provided client secret keys for app are expired.";
          const codes = { error: "invalid_client", error_codes: [7000222], error_description };
          return context.json(codes, 401);
        },
      });
    }

    const hideEntra = () =>
      world.cloud.faults.add({ on: "token", after: "head", connection: "reset", times: 10_000 });

    it("that were good before queue on while Entra ID is away, others get 454", async () => {
      await open();
      let relay = await world.start();
      assert.match(await send(await world.logIn(relay, USERNAME, OLD), "first"), /^250/);
      await untilIs(() => world.arrived, ({ length }) => length === 1);
      assert.equal(await relay.running.stop(), 0);
      hideEntra();
      relay = await world.start();
      const known = await world.logIn(relay, USERNAME, OLD);
      assert.match(await send(known, "second"), /^250 2\.0\.0 .*queued/);
      for (const [username, secret] of [[STRANGER, OLD], [USERNAME, "another"]] as const) {
        assert.match(await world.client(relay).login(username, secret), /^454 4\.7\.0 /);
      }
      await relay.running.until("stderr", /Queued message deferred .*/);
      assert.equal(await relay.running.stop("SIGKILL"), null);
      relay = await world.start();
      assert.match(await send(await world.logIn(relay, USERNAME, OLD), "third"), /^250/);
      assert.deepEqual(world.arrived, ["first"]);
      world.cloud.faults.clear();
      assert.equal(await relay.running.stop(), 0);
      relay = await world.start();
      await untilIs(() => world.arrived, ({ length }) => length === 3);
      assert.deepEqual(world.arrived, ["first", "second", "third"]);
      assert.equal(await relay.running.stop(), 0);
    });

    it("with a revoked secret send nothing as the new one, though they queue while Entra ID is away", async () => {
      await open();
      let relay = await world.start();
      assert.match(await send(await world.logIn(relay, USERNAME, OLD), "first"), /^250/);
      assert.match(await send(await world.logIn(relay, USERNAME, NEW), "second"), /^250/);
      await untilIs(() => world.arrived, ({ length }) => length === 2);
      assert.equal(await relay.running.stop(), 0);
      hideEntra();
      expired.push(OLD);
      relay = await world.start();
      assert.match(await send(await world.logIn(relay, USERNAME, OLD), "with the old one"), /^250/);
      assert.equal(await relay.running.stop(), 0);
      world.cloud.faults.clear();
      relay = await world.start();
      await untilIs(() => world.list(), ([message]) => message?.state === "held");
      assert.deepEqual(world.arrived, ["first", "second"]);
      assert.equal(await relay.running.stop(), 0);
      // The relay has learned it from the message, without another login.
      hideEntra();
      relay = await world.start();
      assert.match(await world.client(relay).login(USERNAME, OLD), /^454 4\.7\.0 /);
      assert.match(await world.client(relay).login(USERNAME, NEW), /^235/);
      assert.equal(await relay.running.stop(), 0);
    });

    it("with a secret that is refused later have their mail held, until `queue retry` has the new one", async () => {
      await open();
      let relay = await world.start();
      assert.match(await send(await world.logIn(relay, USERNAME, OLD), "first"), /^250/);
      await untilIs(() => world.arrived, ({ length }) => length === 1);
      assert.equal(await relay.running.stop(), 0);
      hideEntra();
      relay = await world.start();
      const client = await world.logIn(relay, USERNAME, OLD);
      assert.match(await send(client, "second"), /^250/);
      assert.match(await send(client, "third"), /^250/);
      assert.equal(await relay.running.stop(), 0);
      world.cloud.faults.clear();
      expired.push(OLD);
      relay = await world.start();
      await untilIs(() => world.list(), (list) => list.every(({ state }) => state === "held"));
      const held =
        /WARNING Queued message held until `queue retry`.* sender=a@example\.com .*AADSTS7000222/;
      await relay.running.until("stderr", held);
      assert.match(await world.client(relay).login(USERNAME, OLD), /^535 5\.7\.8 /);
      assert.equal((await world.list()).length, 2);
      // The administrator is too early: there is no new secret yet.
      const early = await world.command(["queue", "retry", "--account", USERNAME]);
      assert.equal(early.status, 0, early.stderr);
      await untilIs(
        () => relay.running.stderr.match(/Queued message held/g)?.length,
        (count) => count === 4,
      );
      assert.match(await world.client(relay).login(USERNAME, NEW), /^235/);
      const { status, stdout, stderr } = await world.command([
        "queue",
        "retry",
        "--account",
        `${TENANT}@${CLIENT}`,
      ]);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /2 messages/);
      await untilIs(() => world.arrived, ({ length }) => length === 3);
      assert.deepEqual(world.arrived, ["first", "second", "third"]);
      assert.deepEqual(await world.list(), []);
      assert.equal(await relay.running.stop(), 0);
      for (const secret of [OLD, NEW]) {
        assert(!(relay.running.stderr + stdout + stderr).includes(secret));
      }
    });
  });
}
