/**
 * A message whose client was gone before its 250 is not sent a second time (DUPLICATE_WINDOW;
 * RFC 1047 tells how such duplicates come about).
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { Authorization } from "../../src/accounts/account.ts";
import type { Delivery, Outcome, Submission } from "../../src/delivery/delivery.ts";
import { DuplicateFilter } from "../../src/delivery/duplicate_filter.ts";
import { formatReply, reply } from "../../src/smtp/reply.ts";
import { ACCOUNT, accountWith, attemptOf, submissionOf, tokenOf } from "../support/submissions.ts";
import { settle, TestClient } from "./waiting_client.ts";

const WINDOW = 600_000;
const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };
const notSent = (ambiguous: boolean): Outcome => ({
  type: "later",
  reply: reply(451, "4.4.2", "no clear answer"),
  ambiguous,
  code: "ETIMEDOUT",
  detail: "",
});
const AUTHORIZATION = accountWith(tokenOf("a.b.c"));

interface Try {
  readonly changes?: Partial<Submission>;
  readonly authorization?: Authorization;
  readonly client?: TestClient;
}

/** The filter before a delivery that ends when the test says so. */
function setUp(capacity?: number) {
  let now = 1000;
  const sending: { id: string; end(outcome: Outcome): void; fail(error: Error): void }[] = [];
  const next: Delivery = {
    deliver: ({ id }) => new Promise((end, fail) => void sending.push({ id, end, fail })),
  };
  const filter = new DuplicateFilter(next, {
    window: WINDOW,
    now: () => now,
    ...(capacity === undefined ? {} : { capacity }),
  });
  /** Delivers a message, the same one unless it has changes. */
  function deliver(id: string, { changes, authorization, client }: Try = {}): Promise<Outcome> {
    const submission = { ...submissionOf(ACCOUNT), id, ...changes };
    return filter.deliver(submission, attemptOf(authorization ?? AUTHORIZATION, client));
  }
  /** Delivers a message that is sent, and whose client is gone. */
  async function send(id: string, rest: Try = {}): Promise<void> {
    const outcome = deliver(id, { client: TestClient.gone(), ...rest });
    await settle();
    assert.equal(sending.at(-1)?.id, id, `${id} has not come through`);
    sending.at(-1)!.end(SENT);
    await outcome;
    await settle();
  }
  /** The id under which it was sent already; undefined where it comes through, and is not sent then. */
  async function repeated(id: string, attempt: Try = {}): Promise<string | undefined> {
    const outcome = deliver(id, attempt);
    await settle();
    if (sending.at(-1)?.id === id) sending.at(-1)!.end(notSent(false));
    const settled = await outcome;
    return settled.type === "alreadySent" ? settled.id : undefined;
  }
  return {
    deliver,
    send,
    repeated,
    sending,
    came: () => sending.map(({ id }) => id).join(" "),
    pass: (milliseconds: number) => now += milliseconds,
  };
}

describe("a message whose client was gone before its 250", () => {
  it("is known again for the window, under its first id, and not longer", async () => {
    const { send, repeated, deliver, pass } = setUp();
    await send("first");
    const outcome = await deliver("second");
    assert(outcome.type === "alreadySent" && outcome.id === "first");
    assert.deepEqual(outcome.reply, reply(250, "2.0.0", "OK id=first"));
    pass(WINDOW - 1);
    assert.equal(await repeated("third"), "first");
    pass(2);
    assert.equal(await repeated("fourth"), undefined);
  });

  it("is known again where it had gone before the delivery began", async () => {
    // The lookup table may take seconds to say that the account may still send.
    const { deliver, sending, came } = setUp();
    const client = TestClient.gone();
    await settle();
    const first = deliver("first", { client });
    const second = deliver("second");
    await settle();
    assert.equal(came(), "first");
    sending[0]!.end(SENT);
    assert.equal((await first).type, "sent");
    assert.equal((await second).type, "alreadySent");
  });

  it("is sent once where tries begin in the same moment, and only the last client is there", async () => {
    const { deliver, sending, came } = setUp();
    const outcomes = [
      deliver("first", { client: TestClient.gone() }),
      deliver("second", { client: TestClient.gone() }),
      deliver("third"),
    ];
    await settle();
    assert.equal(came(), "first");
    sending[0]!.end(SENT);
    await Promise.all(outcomes);
    assert.equal(came(), "first");
  });

  it("is another one where the client had ended its side alone, and was there", async () => {
    const { deliver, sending, repeated, came } = setUp();
    const client = new TestClient().leave();
    void deliver("first", { client });
    const second = deliver("second");
    await settle();
    sending[0]!.end(SENT);
    await settle();
    assert.equal(came(), "first", "whether the reply arrives is not known yet");
    client.reply(true);
    await settle();
    assert.equal(came(), "first second");
    sending[1]!.end(SENT);
    assert.equal((await second).type, "sent");
    assert.equal(await repeated("third"), undefined);
  });

  it("is another one where the client went after the outcome: its content may be gone by then", async () => {
    const { deliver, sending, repeated } = setUp();
    const client = new TestClient();
    const first = deliver("first", { client });
    await settle();
    sending[0]!.end(SENT);
    await first;
    client.leave().reply(false);
    await settle();
    assert.equal(await repeated("second"), undefined);
  });

  it("is another one after a client was there to read that it had been sent", async () => {
    for (const client of [new TestClient(), new TestClient().leave()]) {
      const { send, repeated } = setUp();
      await send("first");
      assert.equal(await repeated("second", { client }), "first");
      client.reply(true);
      await settle();
      assert.equal(await repeated("third"), undefined);
    }
  });

  it("is known on where the second try's client was gone, too", async () => {
    const { send, repeated } = setUp();
    await send("first");
    assert.equal(await repeated("second", { client: TestClient.gone() }), "first");
    await settle();
    assert.equal(await repeated("third"), "first");
  });

  it("is the window's from when it was sent, not from when its client went", async () => {
    const { deliver, sending, repeated, pass } = setUp();
    void deliver("first", { client: TestClient.gone() });
    await settle();
    pass(WINDOW * 2);
    sending[0]!.end(SENT);
    assert.equal(await repeated("second"), "first");
    pass(WINDOW - 1);
    assert.equal(await repeated("third"), "first");
  });

  it("is the same whatever pieces its content came in", async () => {
    const { send, repeated } = setUp();
    await send("first");
    const [whole] = submissionOf(ACCOUNT).content;
    const content = [whole!.subarray(0, 7), whole!.subarray(7)];
    assert.equal(await repeated("second", { changes: { content } }), "first");
  });

  it("is hashed while its content is there: that may be discarded with the outcome", async () => {
    const { deliver, sending, repeated } = setUp();
    const content = submissionOf(ACCOUNT).content.map((block) => Uint8Array.from(block));
    const client = new TestClient();
    void deliver("first", { client, changes: { content } });
    await settle();
    client.leave();
    await settle();
    for (const block of content) block.fill(0);
    sending[0]!.end(SENT);
    client.reply(false);
    await settle();
    assert.equal(await repeated("second"), "first");
  });

  for (const ambiguous of [true, false]) {
    it(`is to be sent again where it ${ambiguous ? "may have been" : "was not"} sent`, async () => {
      const { deliver, sending, repeated } = setUp();
      void deliver("first", { client: TestClient.gone() });
      await settle();
      sending[0]!.end(notSent(ambiguous));
      await settle();
      assert.equal(await repeated("second"), undefined);
      assert.equal(await repeated("third"), undefined);
    });
  }

  it("is to be sent again where its delivery broke with an error", async () => {
    const { deliver, sending, repeated } = setUp();
    const first = deliver("first", { client: TestClient.gone() });
    await settle();
    sending[0]!.fail(new Error("a bug"));
    await assert.rejects(first, /a bug/);
    await settle();
    assert.equal(await repeated("second"), undefined);
    assert.equal(await repeated("third"), undefined, "nothing is left of it");
  });

  it("keeps the id of the first that was sent, whatever becomes of another", async () => {
    const { deliver, sending, repeated } = setUp();
    const [one, other] = [new TestClient(), new TestClient()];
    void deliver("first", { client: one });
    void deliver("second", { client: other });
    await settle();
    one.leave().reply(false);
    sending[0]!.end(SENT);
    await settle();
    other.leave().reply(false);
    await settle();
    sending[1]!.end(notSent(true));
    await settle();
    assert.equal(await repeated("third"), "first");
  });

  it("does not hide one that differs in account, envelope or content", async () => {
    const { send, repeated } = setUp();
    await send("first");
    const { envelope, account, content } = submissionOf(ACCOUNT);
    const text = Buffer.concat([...content]).toString("latin1");
    const others: Partial<Submission>[] = [
      { account: { ...account, clientId: "33333333-3333-3333-3333-333333333333" } },
      { account: { ...account, tenantId: "33333333-3333-3333-3333-333333333333" } },
      { account: { ...account, fromEmail: "other@x.test" } },
      { account: { ...account, entry: { id: "scanner", foundBy: "id" } } },
      { envelope: { ...envelope, from: "eve@x.test" } },
      { envelope: { ...envelope, recipients: ["bea@x.test", "cem@x.test"] } },
      { envelope: { from: "", recipients: ["ann@x.test", "bea@x.test"] } },
      { content: [...content, Buffer.from(" ")] },
      { content: [Buffer.from(text.toUpperCase(), "latin1")] },
    ];
    for (const [index, changes] of others.entries()) {
      assert.equal(await repeated(`other${index}`, { changes }), undefined, `${index}`);
    }
    assert.equal(await repeated("again"), "first");
  });

  it("is known again whatever the entry's list of senders says by now", async () => {
    // The same account; whether it may send is for the sender policy to say.
    const { send, repeated } = setUp();
    await send("first");
    const account = { ...ACCOUNT, allowedSenders: "ann@x.test" };
    assert.equal(await repeated("second", { changes: { account } }), "first");
  });

  it("is nothing to who only claims to be its account, by a token that nobody has verified", async () => {
    const { send, repeated } = setUp();
    await send("first");
    const authorization = { ...AUTHORIZATION, unverified: () => "forged" };
    const client = TestClient.gone();
    assert.equal(await repeated("second", { authorization, client }), undefined);
    await settle();
    // Nor does it change what is remembered of the real one.
    assert.equal(await repeated("third"), "first");
  });

  it("is known again to a token that was verified by it, before that and after it", async () => {
    const { deliver, sending, repeated } = setUp();
    let token: string | undefined = "brought";
    const authorization = { ...AUTHORIZATION, unverified: () => token };
    void deliver("first", { authorization, client: TestClient.gone() });
    await settle();
    const client = new TestClient();
    const second = deliver("second", { authorization, client });
    await settle();
    token = undefined;
    sending[0]!.end(SENT);
    assert.equal((await second).type, "alreadySent");
    assert.equal(await repeated("third", { authorization }), "first");
    // And forgotten once a client has read it.
    client.reply(true);
    await settle();
    assert.equal(await repeated("fourth", { authorization }), undefined);
  });

  it("is forgotten, the oldest first, where there are too many", async () => {
    const { send, repeated } = setUp(2);
    const message = (n: number): Try => ({ changes: { content: [Buffer.from([n])] } });
    for (const n of [1, 2, 3]) {
      await send(`id${n}`, message(n));
      assert.equal(await repeated(`again${n}`, message(n)), `id${n}`);
    }
    assert.equal(await repeated("first again", message(1)), undefined);
    assert.equal(await repeated("second again", message(2)), "id2");
    assert.equal(await repeated("third again", message(3)), "id3");
  });

  it("is not forgotten for messages that are not sent, as a stranger could submit many", async () => {
    const { deliver, sending, send, repeated } = setUp(2);
    await send("first");
    for (let i = 0; i < 5; i++) {
      const account = { ...ACCOUNT, clientId: `stranger ${i}` };
      const outcome = deliver(`refused${i}`, { changes: { account }, client: TestClient.gone() });
      await settle();
      sending.at(-1)!.end(notSent(false));
      await outcome;
      await settle();
    }
    assert.equal(await repeated("second"), "first");
  });
});

describe("a message that is tried again by a client that was gone", () => {
  it("is sent once, and each try gets the first one's id", async () => {
    const { deliver, sending, came } = setUp();
    const first = deliver("first", { client: TestClient.gone() });
    const second = deliver("second");
    const third = deliver("third");
    await settle();
    sending[0]!.end(SENT);
    assert.equal((await first).type, "sent");
    for (const outcome of [await second, await third]) {
      assert(outcome.type === "alreadySent" && outcome.id === "first");
    }
    assert.equal(came(), "first");
  });

  it("is sent by the second try where the first was not, and then not by the third", async () => {
    const { deliver, sending, came } = setUp();
    void deliver("first", { client: TestClient.gone() });
    // The second gives up too, while it still waits for the first.
    void deliver("second", { client: TestClient.gone() });
    const third = deliver("third");
    await settle();
    sending[0]!.end(notSent(false));
    await settle();
    assert.equal(came(), "first second");
    const fourth = deliver("fourth");
    await settle();
    sending[1]!.end(SENT);
    for (const outcome of [await third, await fourth]) {
      assert(outcome.type === "alreadySent" && outcome.id === "second");
    }
    assert.equal(came(), "first second");
  });

  it("waits for nobody in a circle, however many tries are given up", async () => {
    const { deliver, sending } = setUp();
    const tries = Array.from(
      { length: 5 },
      (_, i) => deliver(`try${i}`, { client: TestClient.gone() }),
    );
    for (let i = 0; i < tries.length; i++) {
      await settle();
      sending[i]!.end(notSent(false));
    }
    for (const outcome of tries) assert.equal((await outcome).type, "later");
    assert.equal(sending.length, tries.length);
  });

  it("does not begin to wait for another try once its wait was ended", async () => {
    const { deliver, sending } = setUp();
    void deliver("first", { client: TestClient.gone() });
    await settle();
    const client = new TestClient();
    client.makeRoom();
    let outcome: Outcome | undefined;
    void deliver("second", { client }).then((settled) => outcome = settled);
    await settle();
    assert(outcome?.type === "later" && outcome.code === "OVER_SHARE");
    assert.deepEqual(client.waits, []);
    assert.equal(sending.length, 1);
  });

  it("is put off while it waits for another try, where others need its place", async () => {
    const { deliver, sending, came } = setUp();
    const first = deliver("first", { client: TestClient.gone() });
    const client = new TestClient();
    const second = deliver("second", { client });
    const third = deliver("third");
    await settle();
    client.makeRoom();
    const outcome = await second;
    assert(outcome.type === "later" && outcome.code === "OVER_SHARE" && !outcome.ambiguous);
    assert.equal(
      formatReply(outcome.reply),
      "451 4.3.2 OVER_SHARE: others need the memory or the connection, and this account holds " +
        "more than its share; nothing was sent\r\n",
    );
    assert.deepEqual(client.waits, [true, false]);
    sending[0]!.end(SENT);
    assert.deepEqual([(await first).type, (await third).type], ["sent", "alreadySent"]);
    assert.equal(came(), "first");
  });

  it("waits for the first also where a try between them was given up and put off", async () => {
    const { deliver, sending, came } = setUp();
    void deliver("first", { client: TestClient.gone() });
    const client = TestClient.gone();
    const second = deliver("second", { client });
    await settle();
    client.makeRoom();
    assert.equal((await second).type, "later");
    await settle();
    const third = deliver("third");
    await settle();
    assert.equal(came(), "first", "it is still under way");
    sending[0]!.end(SENT);
    assert.equal((await third).type, "alreadySent");
  });

  it("has no other message hashed but those of its account, envelope and size", async () => {
    const { send, repeated } = setUp();
    await send("first");
    let reads = 0;
    const [whole] = submissionOf(ACCOUNT).content;
    const content = [whole!.subarray(0, 7), whole!.subarray(7, -1)].map((block) =>
      new Proxy(block, {
        get(target, name) {
          if (name !== "length") reads++;
          return Reflect.get(target, name);
        },
      })
    );
    assert.equal(await repeated("shorter", { changes: { content } }), undefined);
    assert.equal(reads, 0);
  });

  it("is sent twice where both clients are there, and nothing is hashed then", async () => {
    const { deliver, sending, came } = setUp();
    let reads = 0;
    const content = new Proxy(submissionOf(ACCOUNT).content, {
      get(target, name, receiver) {
        if (name === Symbol.iterator) reads++;
        return Reflect.get(target, name, receiver);
      },
    });
    const there = () => ({ client: new TestClient().reply(true), changes: { content } });
    const outcomes = [deliver("first", there()), deliver("second", there())];
    await settle();
    assert.equal(came(), "first second");
    sending.forEach(({ end }) => end(SENT));
    await Promise.all(outcomes);
    await settle();
    assert.equal(reads, 0);
  });
});
