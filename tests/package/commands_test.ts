// The man page and the completions name every command, action and option of the program, as commander
// itself has them. In their shells, and as a page, tests/deploy/packages.sh tries them.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  bashCompletion,
  fishCompletion,
  zshCompletion,
} from "../../scripts/package/completions.ts";
import { type CommandText, type ProgramText, programText } from "../../scripts/package/commands.ts";
import { manPage } from "../../scripts/package/man.ts";
import { settingTexts } from "../../scripts/package/settings.ts";
import { program } from "../../src/commands/program.ts";
import { SETTINGS } from "../../src/settings/schema.ts";

const text = programText();
const man = manPage(text, settingTexts(), { version: "1.2.3", date: "2027-01-01" });
/** The man page's words as they are shown: without fonts, and with plain hyphens. */
const shown = man.replace(/\\f[BIR]/g, "").replaceAll("\\-", "-").replaceAll("\\e", "\\");

/** The part of a text from one line to the next that matches, or to its end. */
function part(text: string, from: string, to: RegExp): string {
  const at = text.indexOf(from);
  assert.ok(at >= 0, `there is no ${JSON.stringify(from)}`);
  const rest = text.slice(at + from.length);
  const end = rest.search(to);
  return end < 0 ? rest : rest.slice(0, end);
}

const FORMS: readonly {
  name: string;
  whole: string;
  ofCommand(name: string): string;
  option(long: string): string;
}[] = [
  {
    name: "the man page",
    whole: shown,
    ofCommand: (name) => part(shown, `\n.SS\n.B smtp-oauth-relay ${name}\n`, /^\.S[SH]/m),
    option: (long) => `\n${long}`,
  },
  {
    name: "bash",
    whole: bashCompletion(text),
    ofCommand: (name) => part(bashCompletion(text), `\n    ${name})\n`, /^ {6};;/m),
    option: (long) => long,
  },
  {
    name: "zsh",
    whole: zshCompletion(text),
    ofCommand: (name) => part(zshCompletion(text), `\n        ${name})\n`, /^ {10};;/m),
    option: (long) => `${long}[`,
  },
  {
    name: "fish",
    whole: fishCompletion(text),
    ofCommand: (name) =>
      fishCompletion(text).split("\n").filter((line) =>
        line.includes(`'__fish_seen_subcommand_from ${name}`)
      ).join("\n"),
    option: (long) => ` -l ${long.slice(2)} `,
  },
];

describe("the program as data", () => {
  it("has every command and option that commander has", () => {
    assert.ok(program.commands.length >= 10);
    assert.deepEqual(
      text.commands.map(({ name }) => name),
      program.commands.map((command) => command.name()),
    );
    for (const command of program.commands) {
      const { options } = text.commands.find(({ name }) => name === command.name())!;
      assert.deepEqual(
        options.map(({ names }) => names.at(-1)),
        [...command.options.map(({ long }) => long), "--help"],
        command.name(),
      );
    }
  });

  it("has the actions, values and notes of a command", () => {
    const lookup = text.commands.find(({ name }) => name === "lookup")!;
    assert.deepEqual(lookup.actions, ["list", "get", "set", "delete", "set-password"]);
    assert.match(lookup.notes, /^Columns: tenant_id,[\s\S]*78 if a setting is wrong\.$/);
    const service = lookup.options.find(({ flags }) => flags === "--service [unit]")!;
    assert.equal(service.value, "unit");
    assert.ok(service.isValueOptional);
    const username = text.commands.find(({ name }) => name === "username")!;
    assert.deepEqual(username.actions, [], "a username is no action");
  });
});

describe("the man page and the completions", () => {
  for (const { name, whole, ofCommand, option } of FORMS) {
    it(`name every command, action and option: ${name}`, () => {
      assert.ok(whole.includes(option("--version")), "--version");
      for (const command of program.commands) {
        const own = `\n${ofCommand(command.name())}`;
        for (const { long } of command.options) {
          assert.ok(own.includes(option(long!)), `${command.name()} ${long}`);
        }
        const { actions } = text.commands.find(({ name }) => name === command.name())!;
        for (const action of actions) {
          assert.match(own, new RegExp(`(?:^|[^a-z-])${action}(?:[^a-z-]|$)`, "m"), action);
        }
      }
    });
  }

  it("offer every command where none is typed yet", () => {
    const names = program.commands.map((command) => command.name());
    assert.ok(bashCompletion(text).includes(`arguments="${names.join(" ")} help"`));
    for (const name of names) {
      assert.ok(zshCompletion(text).includes(`\n    '${name}:`), name);
      assert.ok(fishCompletion(text).includes(` -n __fish_use_subcommand -a ${name} -d `), name);
    }
  });
});

describe("the man page", () => {
  it("has every setting", () => {
    for (const name of Object.keys(SETTINGS)) {
      assert.ok(shown.includes(`\n.TP\n${name} (`), name);
    }
    assert.doesNotMatch(shown, /\]\([a-z_/]+\.md/, "links are for pages");
  });
});

describe("texts with characters that mean something", () => {
  const option = {
    flags: "--odd <file>",
    names: ["--odd"],
    description: "it's [odd]: a\\b",
    value: "file",
    isValueOptional: false,
  };
  const command: CommandText = {
    name: "one",
    usage: "one [options]",
    description: ".the 'first': \\n",
    actions: [],
    arguments: [],
    options: [option],
    notes: "'As it is:\n\n  .one --odd x\\y",
  };
  const odd: ProgramText = { name: "p", description: "P", options: [option], commands: [command] };

  it("are no requests of the man page", () => {
    const page = manPage(odd, [], { version: "1", date: "2027-01-01" });
    assert.ok(page.includes("\n\\&.the 'first': \\en\n"));
    assert.ok(page.includes("\n\\&'As it is:\n"));
    assert.ok(page.includes("\n\\&.one \\-\\-odd x\\ey\n"));
  });

  it("do not end a shell's words", () => {
    assert.ok(zshCompletion(odd).includes("'--odd[it'\\''s \\[odd\\]\\: a\\\\b]:file:_files'"));
    assert.ok(fishCompletion(odd).includes("-l odd -r -F -d 'it\\'s [odd]: a\\\\b'"));
  });
});
