// What is deleted at the end of a run: its own messages, whatever the service makes of a filter.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { Mailboxes } from "./mailbox.ts";
import type { Answer, Ask, Reach } from "./reach.ts";

/** A service that finds every message of a mailbox, whatever the filter. */
function service(subjects: readonly (string | null)[]) {
  const messages = new Map(subjects.map((subject, i) => [`id-${i}`, subject]));
  const ask = (url: string | URL, { method = "GET" }: Ask = {}): Promise<Answer> => {
    const { pathname } = new URL(url);
    const answer = { code: "", headers: new Map(), body: Buffer.alloc(0) };
    if (method === "GET") {
      const value = [...messages].map(([id, subject]) => ({
        ...{ id, subject, isDraft: false },
        internetMessageId: `<${id}@x.test>`,
      }));
      return Promise.resolve({ ...answer, status: 200, json: { value } });
    }
    messages.delete(decodeURIComponent(pathname.split("/").at(-1)!));
    return Promise.resolve({ ...answer, status: 204, json: {} });
  };
  const mailboxes = new Mailboxes({
    reach: { ask } as unknown as Reach,
    endpoint: "http://127.0.0.1",
    token: () => Promise.resolve("token"),
    patience: 0,
  });
  return { mailboxes, messages };
}

describe("the end of a run", () => {
  it("deletes the messages of the run, and reports about them, and no others", async () => {
    const others = ["Invoice", null, "Relay test 89abcdef 1 x", "Relay test 012345678 1 x", ""];
    const own = ["Relay test 01234567 1 x", "Undeliverable: Relay test 01234567 2 y"];
    const { mailboxes, messages } = service([...others, ...own]);
    assert.equal(await mailboxes.clear("a@x.test", "Relay test 01234567 "), 2);
    assert.deepEqual([...messages.values()], others);
  });

  it("deletes a message by its Message-ID, and no others", async () => {
    const { mailboxes, messages } = service(["Invoice", "Test of check"]);
    assert.equal(await mailboxes.clearMessage("a@x.test", "<id-1@x.test>"), 1);
    assert.deepEqual([...messages.values()], ["Invoice"]);
  });

  it("deletes nothing by a text that every subject has", async () => {
    const { mailboxes, messages } = service(["Invoice"]);
    await assert.rejects(mailboxes.clear("a@x.test", ""), /every message/);
    assert.equal(messages.size, 1);
  });
});
