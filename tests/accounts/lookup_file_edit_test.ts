/** Edits of LOOKUP_FILE: what is not changed stays to the octet, in the style of whoever wrote it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EMPTY_FILE, withChanges, withoutEntry } from "../../src/accounts/lookup_file_edit.ts";
import * as fc from "../support/property.ts";

const LINES = `{
  "$schema": "lookup.schema.json",
  "b": {
    "tenant_id": "x",
      "oddly":   [1,2,   3],
    "client_id": "y"
  },
  "a": {}
}
`;

describe("an edit of LOOKUP_FILE", () => {
  const cases: readonly [name: string, edited: string, expected: string][] = [
    [
      "makes the first entry",
      withChanges(EMPTY_FILE, "a", { tenant_id: "t", disabled: true, from_name: undefined }),
      '{\n  "a": {\n    "tenant_id": "t",\n    "disabled": true\n  }\n}\n',
    ],
    [
      "makes it with the line ends that the file has",
      withChanges("{}\r\n", "a", { tenant_id: "t" }),
      '{\r\n  "a": {\r\n    "tenant_id": "t"\r\n  }\r\n}\r\n',
    ],
    [
      "changes a value in its place",
      withChanges(LINES, "b", { tenant_id: "new" }),
      LINES.replace('"x"', '"new"'),
    ],
    [
      "adds a column in a line of its own",
      withChanges(LINES, "b", { from_email: "f" }),
      LINES.replace('"y"', '"y",\n    "from_email": "f"'),
    ],
    [
      "adds the first column of an entry",
      withChanges(LINES, "a", { tenant_id: "t" }),
      LINES.replace('"a": {}', '"a": {\n    "tenant_id": "t"\n  }'),
    ],
    [
      "adds an entry at the end",
      withChanges(LINES, "5", { tenant_id: "t" }),
      LINES.replace('"a": {}', '"a": {},\n  "5": {\n    "tenant_id": "t"\n  }'),
    ],
    [
      "removes the first column",
      withChanges(LINES, "b", { tenant_id: undefined }),
      LINES.replace('"tenant_id": "x",\n      ', ""),
    ],
    [
      "removes the last column",
      withChanges(LINES, "b", { client_id: undefined }),
      LINES.replace(',\n    "client_id": "y"', ""),
    ],
    ["removes the last entry", withoutEntry(LINES, "a"), LINES.replace(',\n  "a": {}', "")],
    [
      "removes an entry in the middle",
      withoutEntry(LINES, "b"),
      LINES.replace(/,\n {2}"b": \{[^}]*\}/, ""),
    ],
    ["removes the first entry", withoutEntry('{"a": {}, "b": {}}', "a"), '{"b": {}}'],
    ["removes the only entry", withoutEntry('{ "a": {} }', "a"), "{}"],
    ["removes nothing that is not there", withoutEntry(LINES, "c"), LINES],
    [
      "keeps an entry on its line, and CRLF and tabs",
      withChanges('{\r\n\t"a": { "x": "1" }\r\n}\r\n', "b", { x: "2" }),
      '{\r\n\t"a": { "x": "1" },\r\n\t"b": { "x": "2" }\r\n}\r\n',
    ],
    [
      "adds a column on the line",
      withChanges('{"a": { "x": "1" }}', "a", { y: "2", z: "3" }),
      '{"a": { "x": "1", "y": "2", "z": "3" }}',
    ],
    [
      "escapes what JSON has to",
      withChanges("{}", 'o"\u2028', { from_name: 'Müller "Druck"\\' }),
      '{\n  "o\\"\u2028": {\n    "from_name": "Müller \\"Druck\\"\\\\"\n  }\n}',
    ],
  ];
  for (const [name, edited, expected] of cases) {
    it(name, () => assert.equal(edited, expected));
  }

  it("has the result that the same change of the data has, and no other", () => {
    const name = fc.constantFrom("tenant_id", "from_email", "disabled", "description", "x");
    const id = fc.constantFrom("a", "b", "10", "9", "__proto__", "$", "o'neil");
    const value = fc.oneof(fc.string(), fc.boolean());
    const columns = fc.dictionary(name, value).map((plain) => new Map(Object.entries(plain)));
    const file = fc.uniqueArray(fc.tuple(id, columns), { selector: ([id]) => id });
    const change = fc.record({
      id,
      changes: fc.dictionary(name, fc.option(value, { nil: undefined }), { minKeys: 1 }),
      remove: fc.boolean(),
    });
    const indent = fc.constantFrom(undefined, 2, 4, "\t");
    fc.assert(fc.property(file, fc.array(change, { maxLength: 5 }), indent, (entries, all, by) => {
      const model = new Map(entries.map(([id, columns]) => [id, new Map(columns)]));
      let text = writeFile(entries, by);
      for (const { id, changes, remove } of all) {
        if (remove) {
          text = withoutEntry(text, id);
          model.delete(id);
          continue;
        }
        text = withChanges(text, id, changes);
        const columns = model.get(id) ?? new Map<string, string | boolean>();
        model.set(id, columns);
        for (const [name, value] of Object.entries(changes)) {
          if (value === undefined) columns.delete(name);
          else columns.set(name, value);
        }
      }
      const parsed = JSON.parse(text) as Record<string, object>;
      assert.deepEqual(
        new Map(Object.entries(parsed).map(([id, own]) => [id, new Map(Object.entries(own))])),
        model,
        text,
      );
    }));
  });
});

function writeFile(
  entries: readonly (readonly [string, ReadonlyMap<string, unknown>])[],
  indent: string | number | undefined,
): string {
  const parts = entries.map(([id, columns]) =>
    `${JSON.stringify(id)}: ${JSON.stringify(Object.fromEntries(columns), null, indent)}`
  );
  return indent === undefined ? `{${parts.join(",")}}` : `{\n${parts.join(",\n")}\n}\n`;
}
