/** The reader of LOOKUP_FILE: strict JSON (RFC 8259), one entry at a time, with the place of each mistake. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Row } from "../../src/accounts/entry.ts";
import { readEntry } from "../../src/accounts/entry.ts";
import { LookupFileError, LookupFileReader } from "../../src/accounts/lookup_file_reader.ts";
import * as fc from "../support/property.ts";

function read(text: string): Row[] {
  const reader = new LookupFileReader(text);
  const rows: Row[] = [];
  for (let row = reader.next(); row !== undefined; row = reader.next()) rows.push(row);
  assert.equal(reader.next(), undefined, "it stays at the end");
  return rows;
}

function problem(text: string): string {
  try {
    read(text);
  } catch (error) {
    assert(error instanceof LookupFileError, String(error));
    return error.message;
  }
  return "";
}

const IDS = '"tenant_id": "contoso.example", "client_id": "22222222-2222-2222-2222-222222222222"';

describe("the reader of LOOKUP_FILE", () => {
  it("gives the entries in the file's order, also those whose ids are numbers", () => {
    const ids = read('{"b": {}, "10": {}, "9": {}, "a": {}}').map(({ id }) => id);
    assert.deepEqual(ids, ["b", "10", "9", "a"]);
  });

  it("knows no names that JavaScript's objects have anyway", () => {
    const text = '{"__proto__": {"constructor": "x"}, "constructor": {"__proto__": {"a": 1}}}';
    const [first, second] = read(text);
    assert.deepEqual([first!.id, second!.id], ["__proto__", "constructor"]);
    assert.deepEqual(Object.keys(first!.columns), ["constructor"]);
    assert.deepEqual(Object.keys(second!.columns), ["__proto__"]);
    assert.equal(Object.getPrototypeOf(second!.columns), Object.prototype);
    assert.equal(problem('{"a": {"toString": "x", "valueOf": "y"}}'), "");
  });

  it("takes $schema at any place of the top, and not as an entry", () => {
    assert.deepEqual(read('{"$schema": "lookup.schema.json"}'), []);
    assert.deepEqual(read('{"a": {}, "$schema": "x"}').map(({ id }) => id), ["a"]);
  });

  it("takes both forms of disabled, and CRLF", () => {
    const rows = read(
      `{\r\n"a": {${IDS}, "disabled": true},\r\n"b": {${IDS}, "disabled": "false"}}\r\n`,
    );
    assert.deepEqual(rows.map((row) => readEntry(row).type), ["disabled", "entry"]);
  });

  it("keeps unknown columns of any value away from the others", () => {
    const [row] = read(`{"a": {"x": [1, {"y": [null, {}]}, "]"], ${IDS}, "z": {"a": {"b": []}}}}`);
    assert.equal(readEntry(row!).type, "entry");
  });

  for (const value of ["5", "null", "{}", "[]", '{"type": "Guid", "value": "contoso.example"}']) {
    it(`makes an entry malformed by a column that is ${value}`, () => {
      const [row] = read(`{"a": {${IDS}, "allowed_senders": ${value}}}`);
      const reading = readEntry(row!);
      assert(reading.type === "malformed");
      assert.equal(reading.mistake.column, "allowed_senders");
    });
  }

  const mistakes: readonly [text: string, problem: string][] = [
    ["", "line 1, column 1: the file is empty; without entries, it is {}"],
    ["[]", "line 1, column 1: the file must be one object, which begins with {"],
    ['{\n "a": 1}', 'line 2, column 7: entry "a" must be an object, which begins with {'],
    ['{"a": {},}', "line 1, column 10: a comma may not be the last before }"],
    ['{"a": {"x": "",}}', "line 1, column 16: a comma may not be the last before }"],
    ['{"a": {}\r\n"b": {}}', "line 2, column 1: a comma or } is missing before this"],
    [
      '{"a": {"x": "1" "y": "2"}}',
      'line 1, column 17: a comma or } is missing before this, in entry "a"',
    ],
    ['{"a" {}}', "line 1, column 6: a colon is missing before this"],
    ["{'a': {}}", "line 1, column 2: an entry's id in double quotes is missing"],
    ['// x\n{"a": {}}', "line 1, column 1: JSON has no comments; use a column description"],
    ['{"a": {}} {}', "line 1, column 11: the file must end after the } of its first {"],
    ['{"a": {}, "\\u0061": {}}', 'line 1, column 11: the id "a" is there twice: remove one'],
    ['{"$schema": "", "$schema": ""}', "line 1, column 17: $schema is there twice: remove one"],
    ['{"$schema": {}}', "line 1, column 13: $schema must be a text"],
    [
      '{"a": {"disabled": true, "disabled": false}}',
      'line 1, column 26: entry "a" has the column "disabled" twice: remove one',
    ],
    ['{"a": {"x": "C:\\scans"}}', "line 1, column 13: a backslash in a text is written \\\\"],
    ['{"a": {"x": "two\nlines"}}', "line 1, column 13: this text has no closing quote on its line"],
    [
      `{"a": {"x": ${"[".repeat(70)}`,
      "line 1, column 77: values are more than 64 deep inside of one another",
    ],
  ];
  for (const [text, expected] of mistakes) {
    it(`says where the mistake is: ${JSON.stringify(text).slice(0, 40)}`, () => {
      assert.equal(problem(text), expected);
    });
  }

  it("says of a file that is cut anywhere that it ends too early", () => {
    const whole = `{"$schema": "x", "a": {${IDS}, "n": [true, {"o": null}], "k": -1.5e3}, "b": {}}`;
    assert.equal(problem(whole), "");
    for (let length = 1; length < whole.length; length++) {
      assert.match(problem(whole.slice(0, length)), /the file ends too early: is it complete\?$/);
    }
  });

  it("quotes no value: it may be a secret in the wrong place", () => {
    for (
      const text of ['{"a": "hunter2"}', '{"a": {"x": "hunter2" "y"', '{"a": {"x": hunter2}}']
    ) {
      assert.notEqual(problem(text), "");
      assert(!problem(text).includes("hunter2"), problem(text));
    }
  });

  it("bounds an entry as a table does", () => {
    assert.equal(problem(`{"a": {"x": "${"x".repeat(1_000_000)}"}}`), "");
    assert.match(problem(`{"a": {"x": "${"x".repeat(1_100_000)}"}}`), /entry "a" is over 1 MiB$/);
  });

  it("accepts what JSON.parse accepts, and nothing else", () => {
    const column = fc.oneof(fc.string(), fc.boolean(), fc.jsonValue({ maxDepth: 3 }));
    const file = fc.uniqueArray(
      fc.tuple(fc.string({ minLength: 1 }), fc.dictionary(fc.string(), column)),
      { selector: ([id]) => id },
    );
    const style = fc.constantFrom(undefined, 2, "\t");
    const damage = fc.option(fc.tuple(fc.nat(), fc.constantFrom(...'{}[]:,"\\ \n\t0-e.x/\u0001')));
    fc.assert(fc.property(file, style, damage, (entries, indent, change) => {
      // Not by an object, which would sort ids that are numbers.
      const parts = entries.map(([id, columns]) =>
        `${JSON.stringify(id)}: ${JSON.stringify(columns, null, indent)}`
      );
      let text = `{${parts.join(", ")}}`;
      if (change !== null) {
        const at = change[0] % (text.length + 1);
        text = text.slice(0, at) + change[1] + text.slice(at + (change[0] % 2));
      }
      let parsed: unknown;
      try {
        parsed = JSON.parse(text);
      } catch {
        return assert.notEqual(problem(text), "", text);
      }
      const found = problem(text);
      // Rules beyond JSON's.
      if (/twice|must be (?:an object|one object|a text)/.test(found)) return;
      assert.equal(found, "", text);
      const rows = read(text);
      assert.deepEqual(
        new Map(rows.map(({ id, columns }) => [id, Object.keys(columns).sort()])),
        new Map(
          Object.entries(parsed as object).filter(([id]) => id !== "$schema")
            .map(([id, columns]) => [id, Object.keys(columns).sort()]),
        ),
      );
      for (const { id, columns } of rows) {
        const original = (parsed as Record<string, Record<string, unknown>>)[id]!;
        for (const [name, value] of Object.entries(columns)) {
          if (typeof value !== "object") assert.equal(value, original[name]);
        }
      }
    }));
  });
});
