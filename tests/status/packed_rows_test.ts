/** The last messages of the status page, as octets. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PackedRows } from "../../src/status/packed_rows.ts";
import { Rows } from "../../src/status/rows.ts";

interface Row {
  readonly id: string;
  readonly text?: string;
  readonly nested?: { readonly at: number };
}

function filled(max: number, ids: readonly string[]): PackedRows<Row> {
  const rows = new PackedRows<Row>(max);
  for (const [index, id] of ids.entries()) rows.add({ id }, index + 1);
  return rows;
}

const idsOf = (rows: readonly Row[]) => rows.map(({ id }) => id);

describe("rows as octets", () => {
  it("come back as they were, in any script and of any length", () => {
    const rows = new PackedRows<Row>(10);
    const given: Row[] = [
      { id: "plain", nested: { at: 1.5 } },
      { id: "ä€😀\ud800", text: '"\\\n\0 日本語' },
      { id: "short enough", text: "a".repeat(900) },
      { id: "too long", text: "ä".repeat(900) },
      { id: "far too long", text: "b".repeat(100_000) },
    ];
    for (const row of given) rows.add(row, 1);
    assert.deepEqual(rows.since(0), given);
    for (const row of given) assert.deepEqual(rows.get(row.id), row);
    assert.equal(rows.get("none"), undefined);
  });

  it("are as many as there may be, the oldest first; the oldest is forgotten", () => {
    const ids = Array.from({ length: 200 }, (_, i) => `id${i}`);
    const rows = filled(150, ids);
    assert.deepEqual(idsOf(rows.since(0)), ids.slice(50));
    assert.deepEqual(idsOf(rows.since(197)), ["id197", "id198", "id199"]);
    assert.equal(rows.get("id49"), undefined);
    assert.deepEqual(rows.get("id50"), { id: "id50" });
  });

  it("change in their place, to longer ones and back", () => {
    const rows = filled(3, ["a", "b", "c"]);
    for (const text of ["x", "y".repeat(5_000), "z"]) {
      rows.put({ id: "b", text }, 9);
      assert.deepEqual(rows.since(0), [{ id: "a" }, { id: "b", text }, { id: "c" }]);
      assert.deepEqual(rows.since(3), [{ id: "b", text }]);
    }
    rows.put({ id: "d" }, 10);
    assert.deepEqual(idsOf(rows.since(0)), ["b", "c", "d"]);
  });

  it("are told apart when their ids have the same hash", () => {
    // 31 × "B" + "b" is 31 × "C" + "C".
    const rows = filled(4, ["Bb", "CC", "BbCC", "CCBb"]);
    rows.put({ id: "CC", text: "second" }, 9);
    assert.deepEqual(rows.get("Bb"), { id: "Bb" });
    assert.deepEqual(rows.get("CC"), { id: "CC", text: "second" });
    assert.deepEqual(rows.get("CCBb"), { id: "CCBb" });
  });

  it("are none where there may be none", () => {
    const rows = filled(0, ["a"]);
    rows.put({ id: "b" }, 2);
    assert.deepEqual([rows.since(0), rows.get("a")], [[], undefined]);
  });
});

describe("rows by their key", () => {
  it("forget the one that was changed longest ago", () => {
    const rows = new Rows<string>(2);
    for (const [version, key] of ["a", "b", "a", "c"].entries()) rows.set(key, key, version);
    assert.deepEqual(rows.since(-1), ["a", "c"]);
  });
});
