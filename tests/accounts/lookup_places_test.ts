/** Entries in LOOKUP_FILE and in the lookup table: which of them counts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Entries, type EntryFile, type EntryResult } from "../../src/accounts/entries.ts";
import type { Row } from "../../src/accounts/entry.ts";
import type { EntrySource, TableTrouble } from "../../src/accounts/entry_source.ts";
import { formatReply } from "../../src/smtp/reply.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const OTHER = "99999999-2222-4333-8444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const IDS = { tenant_id: TENANT, client_id: CLIENT };
const DOWN: TableTrouble = {
  type: "trouble",
  code: "ECONNREFUSED",
  detail: "no table",
  gone: false,
  concerns: "table",
};

type Columns = Record<string, unknown>;

function rowsOf(entries: Record<string, Columns>): Row[] {
  return Object.entries(entries).map(([id, columns]) => ({ id, columns }));
}

class File implements EntryFile {
  readonly events: string[] = [];
  constructor(readonly entries: Record<string, Columns>) {}

  find(id: string): Row | undefined {
    return rowsOf(this.entries).find((row) => row.id === id);
  }

  findByClient(clientId: string): Row[] {
    return rowsOf(this.entries).filter(({ columns }) => columns["client_id"] === clientId);
  }

  doubt(): void {
    this.events.push("doubt");
  }

  beforeLogin(): Promise<void> {
    this.events.push("beforeLogin");
    return Promise.resolve();
  }
}

/** @param table undefined if there is none */
function open(file: Record<string, Columns>, table?: Record<string, Columns> | TableTrouble) {
  const asked: string[] = [];
  const answer = <T>(question: string, value: (rows: Row[]) => T): Promise<T | TableTrouble> => {
    asked.push(question);
    if (table === undefined) throw new Error("there is no table");
    const isDown = table === DOWN;
    return Promise.resolve(isDown ? DOWN : value(rowsOf(table as Record<string, Columns>)));
  };
  const source: EntrySource = {
    find: (id) => answer(`id ${id}`, (rows) => rows.find((row) => row.id === id)),
    findByClient: (client) => answer(`client ${client}`, (rows) => rows),
  };
  const own = new File(file);
  const entries = new Entries({
    file: own,
    maxAge: "off",
    ...(table === undefined ? {} : { source }),
    clock: { now: () => 0, alarm: () => () => {} },
  });
  return { entries, asked, file: own };
}

function outcome(result: EntryResult): string {
  return result.type === "entry"
    ? result.entry.fromEmail ?? "an entry"
    : `${formatReply(result.reply).slice(0, 9)} ${result.detail}`;
}

describe("an entry in LOOKUP_FILE", () => {
  it("counts before one of the same id in the table, which is not asked", async () => {
    const { entries, asked } = open(
      { a: { ...IDS, from_email: "file@x.test" } },
      { a: { ...IDS, from_email: "table@x.test" }, b: { ...IDS, from_email: "b@x.test" } },
    );
    assert.equal(outcome(await entries.byId("a")), "file@x.test");
    assert.deepEqual(asked, []);
    assert.equal(outcome(await entries.byId("b")), "b@x.test");
    assert.deepEqual(asked, ["id b"]);
  });

  it("counts also if it is disabled or has a mistake: the table's does not stand in", async () => {
    const { entries, asked } = open(
      { a: { ...IDS, disabled: true }, b: { ...IDS, client_id: "x" } },
      { a: IDS, b: IDS },
    );
    assert.equal(
      outcome(await entries.byId("a")),
      '535 5.7.8 entry "a" of LOOKUP_FILE is disabled',
    );
    assert.match(
      outcome(await entries.byId("b")),
      /^535 5\.7\.8 entry "b" of LOOKUP_FILE: client_id must/,
    );
    assert.deepEqual(asked, []);
  });

  it("needs no table", async () => {
    const { entries } = open({ a: IDS });
    assert.equal(outcome(await entries.byId("a")), "an entry");
    assert.equal(
      outcome(await entries.byId("b")),
      "535 5.7.8 LOOKUP_FILE has no entry with this id",
    );
    assert.equal(outcome(await entries.byTenantAndClient(TENANT, CLIENT)), "an entry");
    assert.match(
      outcome(await entries.byTenantAndClient(OTHER, CLIENT)),
      /^535 5\.7\.8 LOOKUP_FILE has no entry with this tenant_id and client_id/,
    );
    assert.equal(entries.tableState, "not asked");
  });

  it("is usable while the table does not answer", async () => {
    const { entries } = open({ a: IDS }, DOWN);
    assert.equal(outcome(await entries.byId("a")), "an entry");
    assert.equal(outcome(await entries.byTenantAndClient(TENANT, CLIENT)), "an entry");
    assert.equal(outcome(await entries.byId("b")), "454 4.7.0 ECONNREFUSED: no table");
  });

  it("is read as it is now, for each login and each message", async () => {
    const { entries, file } = open({ a: IDS });
    assert.equal((await entries.byId("a")).type, "entry");
    file.entries["a"] = { ...IDS, disabled: "true" };
    assert.equal((await entries.byId("a", false)).type, "refused");
  });

  it("is looked at again before a login, and not before a message", async () => {
    const { entries, file } = open({ a: IDS });
    await entries.byId("a");
    await entries.byTenantAndClient(TENANT, CLIENT);
    entries.doubt({ type: "lookup", id: "a" });
    await entries.byId("a", false);
    await entries.byTenantAndClient(TENANT, CLIENT, false);
    assert.deepEqual(file.events, ["beforeLogin", "beforeLogin", "doubt"]);
  });

  it("is read once for many logins by an app that thousands of entries share", async () => {
    let reads = 0;
    const rows = Array.from({ length: 10_000 }, (_, i) => ({
      id: String(i),
      columns: {
        ...IDS,
        get from_email() {
          reads++;
          return "a@x.test";
        },
      },
    }));
    const { file } = open({});
    file.findByClient = () => rows;
    const entries = new Entries({ file, maxAge: "off" });
    for (let i = 0; i < 10; i++) {
      assert.equal(outcome(await entries.byTenantAndClient(TENANT, CLIENT)), "a@x.test");
    }
    // Of the first one alone.
    assert(reads < 10, `${reads} reads`);
  });

  describe("for a login by tenant and client (AZURE_TABLES_FORCE_USAGE)", () => {
    const cases: readonly [
      name: string,
      file: Record<string, Columns>,
      table: Record<string, Columns>,
      expected: string,
    ][] = [
      [
        "counts before all of the table",
        { z: { ...IDS, from_email: "z@x.test" } },
        { a: IDS },
        "z@x.test",
      ],
      [
        "leaves it to the table if it is of another tenant",
        { a: { ...IDS, tenant_id: OTHER } },
        { b: { ...IDS, from_email: "b@x.test" } },
        "b@x.test",
      ],
      [
        "hides the table's of the same id",
        { a: { ...IDS, tenant_id: OTHER } },
        { a: { ...IDS, from_email: "a@x.test" }, b: { ...IDS, from_email: "b@x.test" } },
        "b@x.test",
      ],
      [
        "leaves it to the table if it is disabled, as within one table",
        { a: { ...IDS, disabled: true } },
        { b: { ...IDS, from_email: "b@x.test" } },
        "b@x.test",
      ],
      [
        "is disabled if no other is there",
        { a: { ...IDS, disabled: true } },
        { a: IDS },
        '535 5.7.8 entry "a" of LOOKUP_FILE is disabled',
      ],
    ];
    for (const [name, file, table, expected] of cases) {
      it(name, async () => {
        const { entries } = open(file, table);
        assert.equal(outcome(await entries.byTenantAndClient(TENANT, CLIENT)), expected);
      });
    }
  });
});
