/** The table of fields in docs/operations.md against what the lines have. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { LoginFailure } from "../../src/accounts/account.ts";
import type { NotSent } from "../../src/delivery/delivery.ts";
import type { Step } from "../../src/delivery/steps.ts";
import { FIELDS } from "../../src/observe/line_fields.ts";
import { createLog } from "../support/log.ts";
import type { MessageEvent, QueueEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import { reply } from "../../src/smtp/reply.ts";
import type { Client } from "../../src/submission/submission_service.ts";
import {
  connectionEvent,
  entryAccount,
  limitEvent,
  listeners,
  loginEvent,
  PRINCIPAL,
  principalOf,
  refusedEvent,
  submissionEvent,
} from "../support/events.ts";
import { USERNAME } from "../support/logins.ts";

const client: Client = {
  connection: "c0ffee",
  address: "192.0.2.7",
  port: 4711,
  proxy: "198.51.100.1",
  tls: { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" },
};
const STEPS = ["prepare", "wait", "token", "request", "pause", "store"] as const;
const steps: readonly Step[] = [
  ...STEPS.map((name): Step => ({ name, at: 0, milliseconds: 1 })),
  { name: "request", at: 0, milliseconds: 1, backend: "exchange" },
];
const scanner = principalOf(entryAccount("scanner"), "claimed");
const no = reply(550, "5.0.0", "No");
const failed: NotSent = {
  type: "refused",
  reply: no,
  ambiguous: false,
  code: "ErrorX",
  detail: "because",
  requestId: "r-1",
  mailbox: "box@x.test",
  attempts: 2,
  backend: "exchange",
};
const refused: LoginFailure = { type: "refused", reply: no, code: "X", detail: "because" };
const credentials = { mechanism: "PLAIN", username: USERNAME, password: new Secret("x") } as const;

/** Events whose lines have every field. */
function events(): RelayEvent[] {
  const recipients = Array.from({ length: 500 }, (_, i) => `recipient-${i}@example.com`);
  const envelope = { from: "ann@x.test", recipients };
  const message = submissionEvent(failed, client, scanner, { envelope }) as MessageEvent;
  const { submission } = message;
  const facts = { ...submission.facts, trusted: true } as const;
  const record = { kind: "report", account: scanner.account, username: "", envelope } as const;
  const queued: QueueEvent = {
    type: "queue",
    change: "deferred",
    message: {
      id: "0123456789abcdef",
      size: 1,
      attempts: 1,
      age: 1,
      record: { ...record, client: "192.0.2.7", connection: "c0ffee" },
    },
    steps,
    due: 0,
  };
  return [
    { ...message, steps, submission: { ...submission, facts } },
    submissionEvent({ type: "alreadySent", reply: no, id: "1" }, client),
    queued,
    loginEvent(credentials, client, refused),
    loginEvent(credentials, client, PRINCIPAL),
    refusedEvent({ command: "RCPT", reply: no, authenticated: true, argument: "x" }, client),
    limitEvent("MAX_ERRORS", client, "Too many errors"),
    connectionEvent(client),
    { type: "connectionFault", error: new Error("x"), client },
  ];
}

/** The fields of all lines. */
function fieldsOfLines(): Set<string> {
  const fields = new Set<string>();
  let now = 0;
  const write = (line: string) => {
    const { time: _, level: __, message: ___, ...rest } = JSON.parse(line);
    for (const name in rest) fields.add(name);
  };
  const log = createLog({ level: "DEBUG", format: "json", write });
  const { notify, close } = listeners(log, () => now, undefined, { recipients: true });
  for (; now < 180_000; now += 45_000) for (const event of events()) notify(event);
  // More than a minute takes: a line counts the others.
  for (let i = 0; i < 400; i++) notify(limitEvent("MAX_ERRORS", client, "Too many errors"));
  close();
  return fields;
}

describe("the fields of lines about clients and messages", () => {
  const page = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");
  const [, table = ""] = page.split("<!-- table: fields of the log -->");
  const rows = [...table.split("<!-- end of table -->")[0]!.matchAll(/^\| `(\w+)` \|/gm)]
    .map((match) => match[1]!);

  it("are those of the table in docs/operations.md, and no others", () => {
    assert.deepEqual([...fieldsOfLines()].sort(), [...rows].sort());
  });

  it("are in the table in the order of the lines", () => {
    assert.deepEqual(rows, Object.keys(FIELDS));
  });

  it("have units: bytes, seconds (_s) or milliseconds (ms) in the name of each figure that is no count", () => {
    for (const [name, content] of Object.entries(FIELDS)) {
      const unit = /\b(milliseconds|seconds|bytes)\b/i.exec(content)?.[1]?.toLowerCase();
      if (unit === undefined || name === "to") continue;
      const mark = { milliseconds: /^ms(_|$)/, seconds: /_s$/, bytes: /(^|_)bytes$/ }[unit]!;
      assert.match(name, mark);
    }
  });
});
