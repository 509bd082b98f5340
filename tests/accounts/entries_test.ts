/** What is remembered of the lookup table, for how long, and what happens while it does not answer. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Entries, type EntriesOptions, type EntryResult } from "../../src/accounts/entries.ts";
import type { Row } from "../../src/accounts/entry.ts";
import type { EntrySource, TableTrouble } from "../../src/accounts/entry_source.ts";
import { formatReply } from "../../src/smtp/reply.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const OTHER = "99999999-2222-4333-8444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const IDS = { tenant_id: TENANT, client_id: CLIENT };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const DOWN: TableTrouble = {
  type: "trouble",
  code: "ECONNREFUSED",
  detail: "no table",
  gone: false,
};
const GONE: TableTrouble = { ...DOWN, code: "TableNotFound", gone: true };

/** A table whose state the test sets, and a clock that stands still. */
class Table implements EntrySource {
  rows = new Map<string, Record<string, unknown>>();
  trouble: TableTrouble | undefined;
  /** Every question, with the milliseconds it was given. */
  readonly asked: [question: string, timeout: number][] = [];
  /** Answers wait for it. */
  gate: Promise<void> | undefined;
  readonly told: string[] = [];
  now = 0;

  async find(id: string, timeout: number) {
    this.asked.push([id, timeout]);
    await this.gate;
    const columns = this.rows.get(id);
    return this.trouble ?? (columns === undefined ? undefined : { id, columns });
  }

  async findByClient(clientId: string, timeout: number) {
    this.asked.push([clientId, timeout]);
    await this.gate;
    return this.trouble ?? [...this.rows].map(([id, columns]): Row => ({ id, columns }));
  }

  entries(options: Partial<EntriesOptions> = {}): Entries {
    return new Entries({
      source: this,
      maxAge: HOUR,
      now: () => this.now,
      onTrouble: ({ code }, served) => void this.told.push(`${code} ${served}`),
      onRecovery: () => void this.told.push("recovered"),
      ...options,
    });
  }
}

function open(rows: Record<string, Record<string, unknown>> = { printer: IDS }): Table {
  const table = new Table();
  table.rows = new Map(Object.entries(rows));
  return table;
}

function line(result: EntryResult): string {
  return result.type === "entry" ? `entry ${result.entry.id}` : formatReply(result.reply).trim();
}

describe("an entry", () => {
  it("is asked for once a minute, and a change takes effect then (the contract's 60 s)", async () => {
    const table = open();
    const entries = table.entries();
    assert.equal(line(await entries.byId("printer")), "entry printer");
    table.rows.set("printer", { ...IDS, disabled: true });
    table.now = MINUTE - 1;
    assert.equal(line(await entries.byId("printer")), "entry printer");
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^535 5\.7\.8 This account is disabled/);
    assert.equal(table.asked.length, 2);
  });

  it("counts its age from the question, not from a late answer", async () => {
    const table = open();
    const entries = table.entries();
    const gate = Promise.withResolvers<void>();
    table.gate = gate.promise;
    const first = entries.byId("printer");
    table.now = 5_000;
    gate.resolve();
    await first;
    table.now = MINUTE;
    await entries.byId("printer");
    assert.equal(table.asked.length, 2);
  });

  it("is asked for once for all who ask at the same time", async () => {
    const table = open();
    const entries = table.entries();
    const gate = Promise.withResolvers<void>();
    table.gate = gate.promise;
    const results = Array.from({ length: 50 }, () => entries.byId("printer"));
    gate.resolve();
    assert.deepEqual(new Set((await Promise.all(results)).map(line)), new Set(["entry printer"]));
    assert.equal(table.asked.length, 1);
  });

  it("that is missing is asked for again after ten seconds, however often it is wanted", async () => {
    const table = open({});
    const entries = table.entries();
    const missing = /^535 5\.7\.8 The lookup table has no entry for this id$/;
    for (let i = 0; i < 10; i++) assert.match(line(await entries.byId("printer")), missing);
    assert.equal(table.asked.length, 1);
    table.rows.set("printer", IDS);
    table.now = 10_000;
    assert.equal(line(await entries.byId("printer")), "entry printer");
  });

  it("stays although strangers guess more ids than are remembered", async () => {
    const table = open();
    const entries = table.entries({ capacity: 10 });
    await entries.byId("printer");
    for (let i = 0; i < 100; i++) await entries.byId(`guess${i}`);
    const before = table.asked.length;
    await entries.byId("printer");
    assert.equal(table.asked.length, before);
  });

  it("is forgotten when there are more than are remembered", async () => {
    const table = open(Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`e${i}`, IDS])));
    const entries = table.entries({ capacity: 10 });
    for (let i = 0; i < 11; i++) await entries.byId(`e${i}`);
    await entries.byId("e0");
    assert.equal(table.asked.length, 12);
  });

  it("with an id that no table has is refused without a question", async () => {
    const table = open();
    const entries = table.entries();
    for (const id of ["a/b", "a#b", "a?b", "a\\b", "a\x00b", "x".repeat(1025), ""]) {
      assert.match(line(await entries.byId(id)), /^535 5\.7\.8 The lookup id has characters/);
    }
    assert.deepEqual(table.asked, []);
  });

  it("with a mistake is refused; the log names row and column", async () => {
    const table = open({ printer: { ...IDS, from_email: "nobody" } });
    const result = await table.entries().byId("printer");
    assert.match(line(result), /^535 5\.7\.8 The lookup table's entry has a mistake in from_email/);
    assert(result.type === "refused");
    assert.equal(
      result.detail,
      'entry "printer" of the lookup table: from_email must be one mail address',
    );
  });
});

describe("a table that does not answer", () => {
  it("makes a login wait for another time, 454 4.7.0, and says why", async () => {
    const table = open();
    table.trouble = DOWN;
    const result = await table.entries().byId("printer");
    assert.match(line(result), /^454 4\.7\.0 .*ECONNREFUSED: no table$/);
    assert.equal(result.type, "later");
    assert.deepEqual(table.told, ["ECONNREFUSED false"]);
  });

  it("is made up for by what was read before, up to an age", async () => {
    const table = open();
    const entries = table.entries({ maxAge: HOUR });
    await entries.byId("printer");
    table.trouble = DOWN;
    for (const now of [MINUTE, 2 * MINUTE, HOUR - 1]) {
      table.now = now;
      assert.equal(line(await entries.byId("printer")), "entry printer");
    }
    assert(table.told.length > 0 && table.told.every((told) => told === "ECONNREFUSED true"));
    table.now = HOUR;
    assert.match(line(await entries.byId("printer")), /^454 /);
    // What was never read has nothing to make up for it.
    assert.match(line(await entries.byId("scanner")), /^454 /);
  });

  it("is not made up for with AZURE_TABLES_CACHE_MAX_AGE=off", async () => {
    const table = open();
    const entries = table.entries({ maxAge: "off" });
    await entries.byId("printer");
    table.trouble = DOWN;
    table.now = MINUTE - 1;
    assert.equal(line(await entries.byId("printer")), "entry printer");
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^454 /);
  });

  it("lets nobody in whose entry was disabled when it was read", async () => {
    const table = open({ printer: { ...IDS, disabled: true } });
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = DOWN;
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^535 /);
  });

  it("is asked less often, and for a shorter time, where there is something to make up", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = DOWN;
    for (let i = 0; i < 100; i++) {
      table.now = MINUTE + i * 100;
      await entries.byId("printer");
    }
    assert.deepEqual(table.asked, [["printer", 10_000], ["printer", 3_000]]);
  });

  it("takes effect again as soon as it answers, within the minute, and that is told once", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = DOWN;
    table.now = 10 * MINUTE;
    await entries.byId("printer");
    table.trouble = undefined;
    table.rows.set("printer", { ...IDS, disabled: true });
    table.now += 10_000;
    assert.match(line(await entries.byId("printer")), /^535 .* disabled/);
    table.now += MINUTE;
    await entries.byId("printer");
    assert.deepEqual(table.told, ["ECONNREFUSED true", "recovered"]);
  });

  it("because it was deleted has nobody in it any more: 454 at once after the minute", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = GONE;
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^454 4\.7\.0 .*TableNotFound/);
    assert.deepEqual(table.told, ["TableNotFound false"]);
  });
});

describe("the entry of a login by tenant and client", () => {
  const direct = async (rows: Record<string, Record<string, unknown>>) => {
    const result = await open(rows).entries().byTenantAndClient(TENANT, CLIENT);
    return { line: line(result), detail: result.type === "entry" ? "" : result.detail };
  };
  const of = (columns: Record<string, unknown> = {}) => ({ ...IDS, ...columns });

  it("is the row with both ids, compared as UUIDs in whatever form", async () => {
    for (
      const columns of [
        { tenant_id: TENANT.toUpperCase(), client_id: CLIENT.toUpperCase() },
        { tenant_id: "ERERESIiQzOERFVVVVVVVQ", client_id: "qqqqqru7TMyN3e7u7u7u7g==" },
        { tenant_id: { type: "Guid", value: TENANT }, client_id: { type: "Guid", value: CLIENT } },
      ]
    ) {
      assert.equal(
        (await direct({ a: { tenant_id: OTHER, client_id: CLIENT }, b: columns })).line,
        "entry b",
      );
    }
  });

  it("is missing where only one of the ids agrees", async () => {
    const missing = /^535 5\.7\.8 The lookup table has no entry for this tenant and client$/;
    assert.match((await direct({})).line, missing);
    assert.match((await direct({ a: of({ tenant_id: OTHER }) })).line, missing);
    assert.match((await direct({ a: of({ client_id: OTHER }) })).line, missing);
    assert.match((await direct({ a: of({ tenant_id: "nonsense" }) })).line, missing);
  });

  it("of several is the first by its RowKey that is not disabled", async () => {
    const disabled = of({ disabled: true });
    assert.equal((await direct({ b: of(), c: of(), a: disabled })).line, "entry b");
    assert.match((await direct({ b: disabled, a: disabled })).line, /^535 .* disabled/);
  });

  it("that comes first but has a mistake is not passed over", async () => {
    const { line, detail } = await direct({ b: of(), a: of({ from_email: "nobody" }) });
    assert.match(line, /^535 .* mistake in from_email/);
    assert.match(detail, /entry "a"/);
  });

  it("is not found by a domain of the tenant, and the log says what to do", async () => {
    const { line, detail } = await direct({ a: of({ tenant_id: "contoso.example" }) });
    assert.match(line, /^535 5\.7\.8 The lookup table has no entry for this tenant and client$/);
    assert.match(detail, /entry "a" .* a domain as its tenant_id: write the tenant's id/);
  });
});
