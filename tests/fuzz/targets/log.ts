// The log: whatever strangers, services and accounts say, an event is one line.

import assert from "node:assert/strict";
import { createLog } from "../../support/log.ts";
import { Secret } from "../../../src/secret.ts";
import { type Reply, reply } from "../../../src/smtp/reply.ts";
import {
  entryAccount,
  limitEvent,
  listeners,
  loginEvent,
  principalOf,
  refusedEvent,
  submissionEvent,
} from "../../support/events.ts";
import { Input, type Target, UNPRINTABLE } from "../engine/target.ts";

const SECRET = "q7ZkSecret";

/** What JSON can hold, with the input's texts, and a secret somewhere. */
function value(input: Input, depth: number): unknown {
  switch (input.below(depth > 3 ? 4 : 8)) {
    case 0:
    case 1:
      return input.until(0xff).toString("utf8");
    case 2:
      return [undefined, null, true, NaN, -0, 1e300, "", "\ud800"][input.below(8)];
    case 3:
      return new Secret(SECRET);
    case 4:
      return [value(input, depth + 1), value(input, depth + 1)];
    case 5:
      return { [input.until(0xff).toString("utf8")]: value(input, depth + 1) };
    case 6:
      return new Error(input.until(0xff).toString("utf8"));
    default:
      return new Date(input.byte() * 1e12);
  }
}

function judge(line: string, format: "text" | "json"): void {
  assert.ok(line.endsWith("\n"));
  assert.doesNotMatch(line.slice(0, -1), UNPRINTABLE);
  assert.ok(!line.includes(SECRET), "a secret is shown");
  if (format === "json") JSON.parse(line);
  else assert.match(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ /);
}

export const log: Target = {
  name: "log",
  run(octets) {
    for (const format of ["text", "json"] as const) {
      const lines: string[] = [];
      const log = createLog({ level: "DEBUG", format, write: (line) => lines.push(line) });
      const input = new Input(octets);
      const { notify } = listeners(log);
      const text = () => input.until(0xff).toString("utf8");
      const client = { connection: "c1", address: text(), port: 1 };
      const said: Reply = reply(500 + input.below(50), "5.0.0", text());
      const principal = principalOf(entryAccount(text()));
      const argument = text();
      const from = text();
      const refusal = {
        command: input.pick(["AUTH", "MAIL", "RCPT", "DATA", "BDAT"] as const),
        reply: said,
        authenticated: input.flag(),
        argument,
        from,
      };
      notify(refusedEvent(refusal, client, principal));
      const credentials = {
        mechanism: "PLAIN" as const,
        username: text(),
        password: new Secret(SECRET),
      };
      notify(loginEvent(credentials, client, { type: "refused", reply: said, detail: text() }));
      const envelope = { from, recipients: [argument] };
      const outcome = {
        type: "later" as const,
        reply: said,
        ambiguous: input.flag(),
        code: text(),
        detail: text(),
        requestId: text(),
        mailbox: text(),
      };
      notify(submissionEvent(outcome, client, principal, { envelope }));
      notify({ type: "connectionFault", error: value(input, 0), client });
      notify(limitEvent("MAX_MEMORY", client, "A limit"));
      const before = lines.length;
      assert.equal(before, 5, "one line for each event");
      log.error(text(), { first: value(input, 0), second: value(input, 0) });
      assert.equal(lines.length, before + 1);
      for (const line of lines) judge(line, format);
    }
  },
  seeds: [
    "192.0.2.7\xff\x00no\xffprinter\xffFROM:<a@b>\xffa@b.test\xff\x00\x00user\xffwrong\xff\x00Code\xffdetail\xff",
    "a\xff\x00b\xffc\xffd\xffe\xff\x01\x01f\xffg\xff\x01h\xffi\xffj\xffk\xff\x06error\xffmessage\xff\x05key\xff\x00v\xff\x04\x03",
  ],
  words: [
    ..."\xff|\r|\n|\r\n|\x00|\x1b[2J|\x7f|\xc2\x85|\xc2\x9b|\xe2\x80\xa8|\xe2\x80\xae|\xe2\x81\xa6"
      .split("|"),
    ..."\"|\\|=|}|{| |'|\\u000a|%s|%o|%j|\xed\xa0\x80|__proto__|toJSON|2026-01-01T00:00:00Z WARNING x"
      .split("|"),
    "x".repeat(5000),
  ],
};
