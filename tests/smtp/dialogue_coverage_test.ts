// The dialogue scripts are complete: every reply that src/smtp knows is in one of them.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { before, describe, it } from "node:test";
import { formatReply, REPLIES, type Reply } from "../../src/smtp/reply.ts";
import { playDialogue, readDialogue, scriptNames } from "./dialogue.ts";
import { SessionPeer } from "./session_peer.ts";

const SOURCES = new URL("../../src/smtp/", import.meta.url);

/** `reply(550, "5.1.1", "text")`, with the text in either kind of quotes, over any lines. */
const REPLY_CALL = /\breply\(\s*(\d{3}),\s*("[\d.]+"|\w+),\s*(?:"([^"]*)"|`([^`]*)`),?\s*\)/g;

/** A pattern for the lines that such a call makes; what is computed may be anything. */
function patternOf([, code, enhanced, text, template]: RegExpMatchArray): RegExp {
  const words = (text ?? template!).split(/\$\{[^}]*\}/)
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const status = /^"(.*)"$/.exec(enhanced!)?.[1]?.replaceAll(".", "\\.") ?? "\\d\\.\\d+\\.\\d+";
  return new RegExp(`^${code} ${status} ${words.join(".+")}$`);
}

describe("the dialogue scripts", () => {
  const said = new Set<string>();

  before(async () => {
    for (const name of scriptNames()) {
      const lines = await playDialogue(
        readDialogue(name),
        (options, implicitTls) => new SessionPeer(options, implicitTls, "at once"),
      );
      for (const line of lines) said.add(line);
    }
  });

  for (const [name, reply] of Object.entries<Reply>(REPLIES)) {
    it(`show the reply ${name}`, () => {
      const line = formatReply(reply).slice(0, -2);
      assert.ok(said.has(line), `no script has: ${line}`);
    });
  }

  for (const file of readdirSync(SOURCES).filter((name) => name.endsWith(".ts"))) {
    const source = readFileSync(new URL(file, SOURCES), "utf8");
    const calls = [...source.matchAll(REPLY_CALL)];

    it(`show every reply that is made in ${file}`, () => {
      // A call that the pattern does not understand would go untested. One is the definition.
      const all = source.match(/\breply\(\s*\d/g)?.length ?? 0;
      assert.equal(calls.length, all, "a call of reply() is written in an unknown way");
      const missing = calls.map(patternOf)
        .filter((pattern) => ![...said].some((line) => pattern.test(line)));
      assert.deepEqual(missing, []);
    });
  }

  it("name the RFC sections that require what they show", () => {
    const titles = scriptNames().map((name) => readDialogue(name).title);
    assert.equal(new Set(titles).size, titles.length, "two scripts have the same title");
  });
});

describe("the replies that do not depend on the client", () => {
  for (const [name, { code, enhanced }] of Object.entries<Reply>(REPLIES)) {
    it(`${name} has an enhanced code of its class, unless it is a 3yz (RFC 2034 §3)`, () => {
      if (code < 400 && code >= 300) assert.equal(enhanced, undefined);
      else assert.match(enhanced ?? "", new RegExp(`^${String(code)[0]}\\.\\d{1,3}\\.\\d{1,3}$`));
    });
  }
});
