/** docs/traces.md against the spans: every name, attribute and bound that it has, and no other. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { MessageEvent, QueueEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import { reply } from "../../src/smtp/reply.ts";
import { spansOf } from "../../src/traces/event_spans.ts";
import { relayResource } from "../../src/traces/resource.ts";
import {
  connectionEvent,
  entryAccount,
  loginEvent,
  principalOf,
  submissionEvent,
} from "../support/events.ts";

const page = readFileSync(new URL("../../docs/traces.md", import.meta.url), "utf8");
const OWN = "smtp_oauth_relay.";

const client = {
  connection: "c0ffee12",
  address: "192.0.2.7",
  port: 4711,
  proxy: "10.0.0.1",
  tls: { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" },
};
const principal = principalOf(entryAccount("printer"));
const credentials = {
  mechanism: "PLAIN",
  username: "printer@lookup",
  password: new Secret("x"),
} as const;
const sent = {
  type: "sent",
  reply: reply(250, "2.0.0", "OK"),
  requestId: "r",
  attempts: 2,
  mailbox: "box@x.test",
} as const;
const steps = (["prepare", "wait", "token", "pause", "store"] as const)
  .map((name) => ({ name, at: 0, milliseconds: 1 }));
const request = {
  name: "request",
  at: 0,
  milliseconds: 1,
  target: "POST sendMail",
  result: 503,
} as const;
const submitted = submissionEvent(sent, client, principal, {
  messageId: "<1@x.test>",
}) as MessageEvent;
const { username, account, envelope } = submitted.submission;

/** Events with everything that may be in them. */
const EVENTS: readonly RelayEvent[] = [
  connectionEvent(client, { error: true }),
  loginEvent(credentials, client, principal),
  loginEvent(credentials, client, principal, true),
  loginEvent(credentials, client, {
    type: "refused",
    reply: reply(535, "5.7.8", "no"),
    detail: "d",
  }),
  { ...submitted, steps: [...steps, request] },
  { ...submitted, outcome: { type: "alreadySent", reply: sent.reply, id: "a1" } },
  {
    type: "queue",
    change: "dead",
    code: "X",
    requestId: "r",
    mailbox: "box@x.test",
    message: {
      ...{ id: "0123456789abcdef", size: 1, attempts: 1, age: 1 },
      record: {
        ...{ kind: "report", account, username, envelope, messageId: "<1@x.test>" },
        ...{ client: client.address, connection: client.connection },
      },
    },
    steps: [],
  } as QueueEvent,
];
const services = { graph: "graph.test", entra: "entra.test" };
const spans = EVENTS.flatMap((event) => spansOf(event, { now: 1, steady: 1, services }));

describe("docs/traces.md", () => {
  const attributes = new Set(spans.flatMap(({ attributes }) => Object.keys(attributes)));

  it("has every span", () => {
    const names = new Set(spans.map(({ name }) => name));
    assert(names.size > 9, [...names].join());
    for (const name of names) assert(page.includes(`| \`${name}\``), name);
  });

  it("has every attribute of the spans and the resource", () => {
    assert(attributes.size > 25);
    const resource = Object.keys(relayResource("relay.test").attributes);
    for (const name of [...attributes, ...resource, "error.type"]) {
      assert(page.includes(`\`${name.replace(OWN, "")}\``), name);
    }
  });

  it("has no attribute that no span has", () => {
    const [, tables = ""] = /^## What is in the spans$([\s\S]*?)^The resource has/m.exec(page)!;
    const cells = [...tables.matchAll(/^\| (`[^|]*) \|/gm)].map(([, cell]) => cell!);
    const named = cells.flatMap((cell) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
    );
    assert(named.length > 25);
    const known = new Set([...attributes].map((name) => name.replace(OWN, "")));
    assert.deepEqual(named.filter((name) => !known.has(name) && name !== "error.type"), []);
  });
});
