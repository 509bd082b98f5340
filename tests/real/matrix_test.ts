// The rows of the matrix and the facts, and the pages and scripts that belong to them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Bench } from "./bench.ts";
import type { Case, Verdict } from "./case.ts";
import { CASES } from "./cases/all.ts";
import { FACTS } from "./facts.ts";
import { MOST_MESSAGES, USAGE } from "./main.ts";
import { announced, answers } from "./matrix.ts";
import { KEYS } from "./settings.ts";
import { ROOT, withImitation } from "./trial.ts";

describe("the matrix", () => {
  it("has a case for each fact that a tenant can answer, and no other facts", () => {
    const asked = new Set(CASES.map(({ fact }) => fact).filter((fact) => fact !== undefined));
    const answerable = FACTS.filter(({ beyond }) => beyond === undefined).map(({ id }) => id);
    assert.deepEqual([...asked].sort(), answerable.sort());
  });

  it("names each case and each fact once", () => {
    for (const ids of [CASES.map(({ id }) => id), FACTS.map(({ id }) => id)]) {
      assert.equal(new Set(ids).size, ids.length);
    }
  });

  it("sends no more than it may, and little to the outside", () => {
    const sum = announced(CASES);
    assert.ok([...sum.values()].reduce((a, b) => a + b) <= MOST_MESSAGES);
    assert.ok(sum.get("external")! <= 5);
    assert.equal(sum.get("outside"), undefined);
  });

  for (const { id, section } of FACTS) {
    it(`names a section that exists: ${id}`, () => {
      const [page, anchor] = section.split("#");
      const text = readFileSync(join(ROOT, page!), "utf8");
      const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
        heading!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
      );
      assert.ok(anchors.includes(anchor!), section);
    });
  }

  it("keeps a case to what it has announced", () =>
    withImitation({}, async ({ settings }) => {
      const bench = new Bench(settings, { run: "meter" });
      const sends = { second: 1 };
      bench.spend(sends, "second");
      assert.throws(() => bench.spend(sends, "second"), /announced fewer/);
      assert.throws(() => bench.spend(sends, "external"), /announced fewer/);
      await bench.close();
    }));
});

describe("the answer to a fact", () => {
  const fact = "size.limit";
  const seen = (...types: readonly Verdict["type"][]) => {
    const results = types.map((type, at) => ({
      case: { id: `case-${at}`, fact } as Case,
      verdict: { type, seen: `seen ${at}`, why: `why ${at}` } as Verdict,
      seconds: 1,
    }));
    return answers(results).find((one) => one.fact.id === fact)!.verdict;
  };

  for (
    const [types, answer] of [
      [["confirmed", "confirmed"], { type: "confirmed", seen: "case-0: seen 0; case-1: seen 1" }],
      [["confirmed", "refuted"], { type: "refuted", seen: "case-1: seen 1; case-0: seen 0" }],
      [["notRun", "confirmed"], { type: "confirmed", seen: "case-1: seen 1" }],
      [["look", "notRun"], { type: "look", seen: "case-0: seen 0" }],
      [["notRun", "notRun"], { type: "notRun", why: "case-0: why 0; case-1: why 1" }],
      [[], { type: "notRun", why: "no case of it was chosen" }],
    ] as const
  ) {
    it(`is "${answer.type}" if its cases are: ${types.join(", ") || "none"}`, () =>
      assert.deepEqual(seen(...types), answer));
  }

  it("is the reason where no tenant can answer it", () => {
    const found = answers([]).find((one) => one.fact.id === "gmail.daily")!.verdict;
    assert.deepEqual(found, { type: "notRun", why: "the relay has no way out to Gmail" });
  });
});

describe("the page", () => {
  const page = readFileSync(join(ROOT, "tests/real/README.md"), "utf8").replace(/\s+/g, " ");
  const sum = announced(CASES);

  it("says how many messages are sent at most", () => {
    const all = [...sum.values()].reduce((one, other) => one + other);
    const [second, sender, external] = (["second", "sender", "external"] as const).map((role) =>
      sum.get(role)
    );
    const text = `**${all} messages at most**: ${second} to the second mailbox, ${sender} to the ` +
      `sender itself, ${external} to the address outside`;
    assert.ok(page.includes(text), text);
    assert.ok(page.includes(`stops at ${MOST_MESSAGES} `));
  });

  it("has every setting", () => {
    for (const name of KEYS) {
      if (name !== "imitation") assert.match(page, new RegExp(`[\`"]${name}[\`".]`), name);
    }
  });

  it("has every option", () => {
    for (const [option] of USAGE.matchAll(/--[a-z-]+(?= {2}| [A-Z]+ {2})/g)) {
      assert.ok(page.includes(option), option);
    }
  });
});

/** No PowerShell is at hand: only their text is examined. */
describe("set_up.ps1 and tear_down.ps1, as texts", () => {
  const scripts = ["set_up.ps1", "tear_down.ps1"].map((name) =>
    readFileSync(join(ROOT, "tests/real", name), "utf8")
  );
  const [setUp, tearDown] = scripts as [string, string];

  it("explain every parameter, and say that they have not been run", () => {
    for (const script of scripts) {
      const [, parameters = ""] = /\nparam\(\n([\s\S]*?)\n\)\n/.exec(script) ?? [];
      const names = [...parameters.matchAll(/^ {2}\[[a-z]+\] \$(\w+)/gm)].map(([, name]) => name);
      assert.ok(names.length >= 2);
      for (const name of names) assert.match(script, new RegExp(`^\\.PARAMETER ${name}$`, "m"));
      assert.match(
        script.replace(/\s+/g, " "),
        /not been run, neither against a tenant nor at all/,
      );
    }
  });

  it("make and remove the same", () => {
    for (const text of ["$Name = 'SMTP relay test'", "$SettingsFile = 'real.json'"]) {
      for (const script of scripts) assert.ok(script.includes(text), text);
    }
    assert.ok(setUp.includes('"$Name SMTP.SendAsApp"'));
    assert.ok(tearDown.includes("'Mail.Send', 'Mail.ReadWrite', 'SMTP.SendAsApp'"));
  });

  it("write and remove a file that git leaves alone: it has the secret", () => {
    const [, file = "none"] = /\$SettingsFile = '([^']+)'/.exec(setUp)!;
    const ignored = readFileSync(join(ROOT, ".gitignore"), "utf8").split("\n");
    assert.ok(ignored.includes(`/${file}`), file);
  });

  it("remove nothing of another tenant's, and no group of others", () => {
    const signsIn = tearDown.indexOf("Connect-ExchangeOnline -ShowBanner");
    const compares = tearDown.indexOf("$_.TenantID -ne $settings.tenant");
    const removes = tearDown.indexOf("Remove-");
    assert.ok(0 < signsIn && signsIn < compares && compares < tearDown.indexOf("  Invoke-Step"));
    assert.ok(removes > compares);
    const members = tearDown.indexOf("$others.Count -gt 0");
    assert.ok(0 < members && members < tearDown.indexOf("Remove-DistributionGroup"));
  });

  it("write settings that the program knows", () => {
    const written = [...setUp.matchAll(/^ {2}(\w+) = |\$settings\['(\w+)'\]/gm)]
      .map(([, one, other]) => one ?? other!).filter((name) => name !== "sender");
    assert.ok(written.length >= 5, String(written));
    for (const name of written) assert.ok(KEYS.includes(name), name);
  });
});
