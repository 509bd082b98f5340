// The scripts' language: its meaning, and that a deviating server is detected.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseDialogue, playDialogue } from "./dialogue.ts";
import { escapeOctets, unescapeOctets, unescapeText } from "./escapes.ts";
import { SessionPeer } from "./session_peer.ts";

const TITLE = "# A test (RFC 5321 §3.1).\n";
const QUIT = "@include quit\n";

function play(script: string): Promise<string[]> {
  return playDialogue(
    parseDialogue("script", TITLE + script),
    (options, implicitTls) => new SessionPeer(options, implicitTls, "at once"),
  );
}

const LOGGED_IN = "@include mail\nC: DATA\nS: 354 End data with <CR><LF>.<CR><LF>\nC: .\n";

describe("a dialogue script fails, and names its line,", () => {
  const cases: Readonly<Record<string, readonly [script: string, message: RegExp]>> = {
    "where the text of a reply differs": [
      "@include greeted\nC: NOOP\nS: 250 2.0.0 Fine\n" + QUIT,
      /^script:4: expected "250 2.0.0 Fine", the server said "250 2.0.0 OK"$/,
    ],
    "where the enhanced code differs": [
      "@include greeted\nC: NOOP\nS: 250 2.1.0 …\n" + QUIT,
      /^script:4: /,
    ],
    "where a pattern does not fit the whole text": [
      "@include greeted\nC: NOOP\nS: 250 2.0.0 /O/\n" + QUIT,
      /^script:4: /,
    ],
    "where the server says more than the script": [
      "@include greeted\nC: NOOP\nC: QUIT\nS: 250 2.0.0 OK\n! closed\n",
      /^script:6: the server said more before it closed/,
    ],
    "where the server says less": [
      "@include greeted\nS: 220 relay.example …\n" + QUIT,
      /^script:3: the server says nothing and waits for the client$/,
    ],
    "where the server stays": ["@include greeted\n! closed\n", /^script:3: .* keeps .* open$/],
    "where the server goes": [
      "@include greeted\nC: QUIT\nS: 221 2.0.0 Bye\nC: NOOP\nS: 250 2.0.0 OK\n" + QUIT,
      /^script:6: the server closed$/,
    ],
    "where TLS does not begin": ["@include greeted\n! tls\n" + QUIT, /^script:3: .* TLS$/],
    "where somebody logs in unannounced": [
      "@include tls\nC: AUTH PLAIN AGEAYg==\nS: 235 2.7.0 …\n" + QUIT,
      /^script:3: the script knows of no login; it was a$/,
    ],
    "where other credentials arrive": [
      "@include tls\n! auth a c -> 235\nC: AUTH PLAIN AGEAYg==\nS: 235 2.7.0 …\n" + QUIT,
      /^script:4: /,
    ],
    "where an announced login does not come": [
      "@include tls\n! auth a b -> 235\n" + QUIT,
      /^include\/quit:3: the script is silent about this/,
    ],
    "where a message is passed over": [
      LOGGED_IN + "S: 250 2.0.0 …\n" + QUIT,
      /^include\/quit:3: the script is silent about this/,
    ],
    "where the envelope differs": [
      LOGGED_IN + "S: 250 2.0.0 …\n! envelope <alice@example.com> -> <carol@example.net>\n" + QUIT,
      /^script:7: /,
    ],
    "where the content differs": [
      LOGGED_IN +
      'S: 250 2.0.0 …\n! envelope <alice@example.com> -> <bob@example.net>\n! content "x"\n' + QUIT,
      /^script:8: /,
    ],
  };
  for (const [name, [script, message]] of Object.entries(cases)) {
    it(name, async () => {
      await assert.rejects(play(script), { name: "AssertionError", message });
    });
  }
});

describe("a dialogue script is refused", () => {
  const cases: Readonly<Record<string, readonly [script: string, message: RegExp]>> = {
    "with a line of an unknown kind": [TITLE + "X: NOOP\n", /^x:2: unknown kind of line: X: NOOP$/],
    "with an unknown directive": [TITLE + "! sleep 1\n", /^x:2: unknown directive: sleep 1$/],
    "with an unknown option": [TITLE + "! option port 25\n", /^x:2: no such option/],
    "with a value that is none": [TITLE + "! option requireTls maybe\n", /^x:2: no such option/],
    "with an unknown escape": [TITLE + "C: \\q\n", /^x:2: unknown escape/],
    "with … for a code": [TITLE + "S: 250 …\n", /^x:2: … may only stand for the text/],
    "with an empty group": [TITLE + "C-PIPELINE\n! closed\n", /^x:3: C-PIPELINE without C lines/],
    "without an RFC section": ["# A test.\n! closed\n", /^x:1: the first comment has to name/],
    "without an end": [TITLE + "C: QUIT\n", /^x: a script has to end with/],
  };
  for (const [name, [script, message]] of Object.entries(cases)) {
    it(name, () => {
      assert.throws(() => parseDialogue("x", script), { name: "SyntaxError", message });
    });
  }
});

describe("the escapes of dialogue scripts", () => {
  it("stand for octets", () => {
    assert.deepEqual([...unescapeOctets("a\\r\\n\\t\\0\\\\\\x80ü\\}}")], [
      ...[97, 13, 10, 9, 0, 92, 128, 0xc3, 0xbc, 125, 125],
    ]);
    assert.equal(unescapeText("\\{3*a\\{2*b}}|\\{base64 \\0a\\0b}"), "abbabbabb|AGEAYg==");
    assert.throws(() => unescapeOctets("\\{2*a"), SyntaxError);
  });

  it("are what octets are shown as", () => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    assert.deepEqual([...unescapeOctets(escapeOctets(all))], [...all]);
  });
});
