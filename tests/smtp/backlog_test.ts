// Many commands in one segment (RFC 2920): the client reads the replies to some before the next ones are
// read, and waiting octets keep no more memory than their own.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { Effect } from "../../src/smtp/effects.ts";
import { REPLIES } from "../../src/smtp/reply.ts";
import { Session } from "../../src/smtp/session.ts";
import { DIALOGUE_OPTIONS } from "./options.ts";

/** As much as one read of a socket returns. */
const READ = 512 * 1024;
/** The most octets of replies at a time: 16 KB and the last one. */
const MOST = 17 * 1024;

function loggedIn(): Session {
  const session = new Session({ ...DIALOGUE_OPTIONS, requireTls: false });
  session.open();
  session.receive(Buffer.from("EHLO client.example\r\nAUTH PLAIN AGEAYg==\r\n"));
  session.authenticated(REPLIES.authenticated);
  return session;
}

function repliesIn(effects: readonly Effect[]): string {
  return effects.map((effect) => effect.type === "reply" ? effect.text : "").join("");
}

describe("many commands in one segment", () => {
  for (const command of ["EHLO a\r\n", "NOOP\r\n", "HELP\r\n"]) {
    it(`are answered some at a time, all of them and in order: ${command.trim()}`, () => {
      const session = loggedIn();
      const count = Math.floor(READ / command.length);
      let effects = session.receive(Buffer.from(command.repeat(count) + "QUIT\r\n"));
      const one = repliesIn(loggedIn().receive(Buffer.from(command)));
      let length = 0;
      let last = "";
      for (;;) {
        const replies = repliesIn(effects);
        assert(replies.length <= MOST, `${replies.length} octets of replies at once`);
        length += replies.length;
        last = (last + replies).slice(-1000);
        if (session.progress.awaits !== "drain") break;
        effects = session.resume();
      }
      assert.match(last, /\r\n221 [^\r\n]*\r\n$/);
      const [quit] = /221 [^\r\n]*\r\n$/.exec(last)!;
      assert.equal(length, count * one.length + quit.length);
    });
  }

  it("wait when more arrives before the replies are read", () => {
    const session = loggedIn();
    session.receive(Buffer.from("EHLO a\r\n".repeat(1000)));
    assert.equal(session.progress.awaits, "drain");
    assert.deepEqual(session.receive(Buffer.from("NOOP\r\n")), []);
  });

  it("are no longer read once the session is to stop", () => {
    const session = loggedIn();
    session.receive(Buffer.from("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"));
    session.receive(Buffer.from("BDAT 1 LAST\r\nx" + "NOOP\r\n".repeat(1000)));
    assert.equal(session.unread, 6000);
    session.stop(REPLIES.outOfMemory, "stop");
    assert.equal(session.unread, 0);
    session.receive(Buffer.from("NOOP\r\n".repeat(1000)));
    assert.equal(session.unread, 0);
    assert.match(repliesIn(session.submitted(REPLIES.ok)), /^250 [^\n]*\n452 [^\n]*\n$/);
  });
});
