/** What Exchange refuses to an app must not go by a server that checks no app. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Backends } from "../../src/delivery/backends.ts";
import type { SmtpBackendOptions } from "../../src/smtp_backend/backend.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { accountWith, mailOf, tokenOf } from "../support/submissions.ts";
import { EXCHANGE_SCOPE, exchangeBackend, FakeServer, refused } from "./server.ts";

/** Sends as a mailbox to which Exchange refuses the app. @returns how often the next way was asked */
async function sentByNext(login: SmtpBackendOptions["login"]): Promise<number> {
  const clock = new FakeClock();
  const exchange = new FakeServer(clock);
  exchange.answers = [1, 2, 3].map(() => refused("AUTH", "535 5.7.3 Authentication unsuccessful"));
  const next = new FakeServer(clock);
  const ways = {
    exchange: exchangeBackend(exchange, clock),
    smarthost: exchangeBackend(next, clock, { id: "smarthost", login }),
  };
  const backends = new Backends({
    standard: ["exchange", "smarthost"],
    wayOf: (name) => ways[name as keyof typeof ways],
    sentLookup: { lookUp: () => Promise.reject(new Error("not asked")) },
    changed: () => {},
    clock,
  });
  const attempt = { authorization: accountWith(tokenOf("t")) };
  const outcome = await backends.deliver(mailOf("chief@x.test"), attempt);
  assert.equal(outcome.type === "sent", next.sendings.length > 0);
  return next.sendings.length;
}

describe("a mailbox that Exchange refuses to the app", () => {
  it("is no sender on a way where only the relay logs in", async () => {
    assert.equal(await sentByNext({ type: "none" }), 0);
  });

  it("may be one on a way that checks the app itself", async () => {
    assert.equal(await sentByNext({ type: "token", scope: EXCHANGE_SCOPE }), 1);
  });
});
