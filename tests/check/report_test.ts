// The findings for people at a terminal: folded, in colours, failures repeated at the end.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { finding } from "../../src/check/finding.ts";
import { failedAgain, summaryLine, terminalOf, terminalText } from "../../src/check/report.ts";

const PLAIN = { width: 60, colours: false };
const FOUND = [
  finding("settings.ok", "3 set"),
  finding("login.not-tried", "not tried: that needs --username and --password-file"),
  finding("ports.taken", "SMTP_LISTEN [::]:8025: the port is in use by another program"),
];

describe("the report on a terminal", () => {
  it("is folded to its width at spaces, indented after the mark, with the fix on its own line", () => {
    assert.equal(
      terminalText(FOUND[2]!, PLAIN),
      [
        "FAIL ports: SMTP_LISTEN [::]:8025: the port is in use by",
        "     another program",
        "     Fix: stop it, or choose another port; `ss -ltnp` shows",
        "     the program [ports.taken]",
      ].join("\n"),
    );
  });

  it("keeps a longer word whole: it may be a path or a command to be copied", () => {
    const path = `/${"a".repeat(80)}`;
    const text = terminalText(
      finding("authorities.unusable", `the file ${path} is damaged`),
      PLAIN,
    );
    assert.ok(text.split("\n").includes(`     ${path} is`) || text.includes(path));
  });

  it("marks untried checks as such, and counts them separately", () => {
    assert.match(terminalText(FOUND[1]!, PLAIN), /^skip login: not tried/);
    assert.equal(summaryLine(FOUND), "1 ok, 1 skip, 0 warn, 1 FAIL");
  });

  it("repeats only failures at the end", () => {
    assert.deepEqual(failedAgain(FOUND, PLAIN), [
      "",
      "What failed:",
      terminalText(FOUND[2]!, PLAIN),
      "",
    ]);
    assert.deepEqual(failedAgain(FOUND.slice(0, 2), PLAIN), []);
  });

  it("is in colours unless NO_COLOR is set (no-color.org), or the terminal has none", () => {
    const stream = { isTTY: true, columns: 100 };
    assert.deepEqual(terminalOf(stream, {}), { width: 100, colours: true });
    assert.deepEqual(terminalOf(stream, { NO_COLOR: "" })!.colours, true);
    assert.deepEqual(terminalOf(stream, { NO_COLOR: "1" })!.colours, false);
    assert.deepEqual(terminalOf(stream, { TERM: "dumb" })!.colours, false);
    const text = terminalText(FOUND[2]!, { width: 60, colours: true });
    assert.ok(text.startsWith("\x1b[1;31mFAIL\x1b[0m ports: "), text);
    // deno-lint-ignore no-control-regex -- the colours themselves
    assert.equal(text.replace(/\x1b\[[\d;]*m/g, ""), terminalText(FOUND[2]!, PLAIN));
  });

  it("differs if a program reads it", () => {
    assert.equal(terminalOf({}, {}), undefined);
    assert.equal(terminalOf({ isTTY: true, columns: 0 }, {})!.width, 80);
  });
});
