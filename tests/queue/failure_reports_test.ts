/** QUEUE_BOUNCE: a message that is given up is reported to its sender, once. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { reportId } from "../../src/queue/failure_reports.ts";
import { StoreError } from "../../src/queue/store.ts";
import {
  AMBIGUOUS,
  DAY,
  HOUR,
  type Message,
  MINUTE,
  refusal,
  type Sending,
  UNREACHABLE,
  World,
  type WorldOptions,
} from "./queue_world.ts";

/** The text of the message that a request sends. */
function textIn({ submission: { content } }: Sending): string {
  return Buffer.concat(content as Uint8Array[]).toString("utf8");
}

/** A queue whose messages are refused for good, but not its reports. */
function refusing(options: WorldOptions = { bounce: true }) {
  const world = new World(options);
  const reports: Sending[] = [];
  world.answer = (sending) => {
    if (sending.submission.envelope.from !== "") return refusal("ErrorInvalidRecipients");
    const { submission } = sending;
    // A copy: the content is discarded after the try.
    const content = submission.content.map((octets) => new Uint8Array(octets));
    reports.push({ ...sending, submission: { ...submission, content } });
    return "sent";
  };
  return { world, reports };
}

describe("QUEUE_BOUNCE", () => {
  it("reports a refusal to the sender, with a null reverse-path, from its mailbox", async () => {
    const { world, reports } = refusing();
    const id = await world.add({ secret: "s" });
    await world.run();
    assert.equal(reports.length, 1);
    const { submission } = reports[0]!;
    assert.deepEqual(submission.envelope, { from: "", recipients: ["ann@x.test"] });
    const text = textIn(reports[0]!);
    assert.match(text, /^Auto-Submitted: auto-replied\r$/m);
    assert.match(text, /report-type=delivery-status/);
    assert.match(text, /^From: Mail Delivery System <ann@x\.test>\r$/m);
    assert.match(text, /^Final-Recipient: rfc822; bea@x\.test\r$/m);
    assert.match(text, /^Status: 5\.6\.0\r$/m);
    assert.match(text, new RegExp(`^In-Reply-To: <${id}@x\\.test>\\r$`, "m"));
    assert.deepEqual(world.told, [
      `dead ${id} ErrorInvalidRecipients`,
      `sent ${reportId(id)}`,
    ]);
    const [dead, sent] = world.queueEvents();
    assert.deepEqual([dead!, sent!].map((event) => event.message.record!.kind), [
      "message",
      "report",
    ]);
  });

  it("stores that the message is given up before its report", async () => {
    const { world } = refusing();
    const id = await world.add();
    await world.run();
    const { log } = world.store;
    assert.deepEqual(log.slice(2, 4), [`dead ${id}`, `add ${reportId(id)}`]);
  });

  it("sends the report with the message's account and credential", async () => {
    const { world, reports } = refusing();
    const account = {
      tenantId: "t",
      clientId: "c",
      entry: { id: "scanner", foundBy: "id" },
      fromEmail: "Real@x.test",
    } as const;
    await world.add({ account, secret: "its secret" });
    await world.run();
    const { submission, attempt } = reports[0]!;
    assert.deepEqual(submission.account, account);
    assert.match(textIn(reports[0]!), /^From: Mail Delivery System <Real@x\.test>\r$/m);
    const token = attempt.authorization.token("scope");
    assert(!(token instanceof Promise) && !("type" in token));
    assert.equal(token.value.reveal(), "its secret");
  });

  it("reports what became too old, with the last failure", async () => {
    const world = new World({ bounce: true, maxAge: HOUR });
    let report = "";
    world.answer = (sending) => {
      if (sending.submission.envelope.from !== "") return UNREACHABLE;
      report = textIn(sending);
      return "sent";
    };
    await world.add();
    await world.run();
    await world.passUntil(() => report !== "", 10_000, 2 * HOUR);
    assert.match(report, /^Status: 4\.4\.7\r$/m);
    assert.match(report, /ECONNREFUSED/);
    assert.match(report, /^Action: failed\r$/m);
  });

  it("says of what became too old in doubt that it may have been sent", async () => {
    const answers = [{ type: "later", detail: "no answer" }] as const;
    const world = new World({ bounce: true, maxAge: HOUR, mode: "ask", answers });
    let report = "";
    world.answer = (sending) => {
      if (sending.submission.envelope.from !== "") return AMBIGUOUS;
      report = textIn(sending);
      return "sent";
    };
    await world.add();
    await world.run();
    await world.passUntil(() => report !== "", 10_000, 2 * HOUR);
    assert.match(report.replace(/\r\n /g, " "), /it may have been sent/);
  });

  const unanswered: Readonly<Record<string, Message>> = {
    "with a null reverse-path": { from: "" },
    "that was sent automatically": {
      content: "From: ann@x.test\r\nAuto-Submitted: auto-generated\r\n\r\nx\r\n",
    },
    "that is a report itself": {
      content: "From: ann@x.test\r\nContent-Type: multipart/report; boundary=b\r\n\r\nx\r\n",
    },
  };
  for (const [name, message] of Object.entries(unanswered)) {
    it(`does not answer a message ${name}`, async () => {
      const world = new World({ bounce: true });
      world.answer = () => refusal("ErrorInvalidRecipients");
      const id = await world.add(message);
      await world.run();
      assert.deepEqual(world.store.ids(), [id]);
    });
  }

  it("does not report a report that is refused or becomes too old", async () => {
    for (const answer of [refusal("ErrorInvalidRecipients"), UNREACHABLE]) {
      const world = new World({ bounce: true, maxAge: HOUR });
      world.answer = ({ submission }) =>
        submission.envelope.from === "" ? answer : refusal("ErrorInvalidRecipients");
      const id = await world.add();
      await world.run();
      await world.passUntil(() => world.store.ids("dead").length === 2, 10_000);
      await world.pass(HOUR, 10_000);
      assert.deepEqual(world.store.ids(), [id, reportId(id)]);
    }
  });

  it("does not report what is held", async () => {
    const world = new World({ bounce: true, mode: "hold" });
    world.answer = () => AMBIGUOUS;
    const id = await world.add();
    await world.run();
    await world.pass(4 * DAY, HOUR);
    assert.deepEqual(world.store.ids(), [id]);
  });

  it("reports nothing where it is off", async () => {
    const { world, reports } = refusing({});
    const id = await world.add();
    await world.run();
    assert.deepEqual(reports, []);
    assert.deepEqual(world.store.ids(), [id]);
  });

  it("reports a message once, though an administrator tries it again", async () => {
    const { world, reports } = refusing();
    const id = await world.add();
    await world.run();
    world.store.retry(id);
    await world.pass(10_000);
    assert.equal(world.told.filter((line) => line.startsWith("dead")).length, 2);
    assert.equal(reports.length, 1);
  });

  it("reports at most once if the relay ends between the two steps", async () => {
    const { world: before, reports } = refusing();
    const id = await before.add();
    before.store.before = (operation) =>
      operation === "add" ? new Promise<void>(() => {}) : undefined;
    await before.run();
    const { store, sealer, clock } = before;
    assert.equal(store.stored(id)!.state, "dead");
    void before.worker.stop();
    store.crash();
    store.before = () => {};
    const world = new World({ bounce: true, store, sealer, clock });
    world.answer = () => refusal("ErrorInvalidRecipients");
    store.retry(id);
    await world.run();
    await world.pass(MINUTE);
    assert.deepEqual(store.ids(), [id], "none: the first may have been stored and sent");
    assert.deepEqual(reports, []);
  });

  it("makes no report about a message that another relay has by then: that one does", async () => {
    const { world, reports } = refusing();
    const id = await world.add();
    const added: string[] = [];
    world.store.before = (operation, id) => {
      if (operation === "add") added.push(id);
    };
    const { answer } = world;
    let isLost = false;
    world.answer = (sending) => {
      // The first try takes longer than its relay owns the message.
      if (!isLost) world.store.crash();
      isLost = true;
      return answer(sending);
    };
    await world.run();
    await world.pass(MINUTE);
    assert.equal(world.tried.filter((tried) => tried === id).length, 2);
    assert.deepEqual(added, [reportId(id)]);
    assert.equal(reports.length, 1);
  });

  it("makes no report if it cannot be stored that the message is given up", async () => {
    const { world } = refusing();
    const id = await world.add();
    world.store.before = (operation) => {
      if (operation === "giveBack") throw new StoreError("EIO", "bad disk");
    };
    await world.run();
    await world.clock.passUntil(world.worker.stop());
    assert.deepEqual(world.store.ids(), [id]);
    assert.equal(world.store.stored(id)!.state, "sending");
  });

  it("says so if the report cannot be stored, and goes on", async () => {
    const { world } = refusing();
    const ids = await world.addAll(2);
    world.store.before = (operation) => {
      if (operation === "add") throw new StoreError("SQLITE_FULL", "no room", true);
    };
    await world.run();
    assert.deepEqual(world.store.ids("dead"), ids);
    assert(world.events.some(({ type }) => type === "queueFailed"));
  });

  it("gives a message up without a report if its content cannot be read", async () => {
    const world = new World({ bounce: true, maxAge: HOUR });
    const id = await world.add();
    world.store.before = (operation) => {
      if (operation === "content") throw new StoreError("ENOENT", "no content");
    };
    await world.run();
    await world.passUntil(() => world.store.stored(id)!.state === "dead", MINUTE, 3 * HOUR);
    assert.deepEqual(world.store.ids(), [id]);
  });
});
