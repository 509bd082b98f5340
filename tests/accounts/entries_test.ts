/** What is cached of the lookup table, for how long, and what happens while it does not respond. */
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
  concerns: "table",
};
const GONE: TableTrouble = { ...DOWN, code: "TableNotFound", gone: true };
const BAD_QUESTION: TableTrouble = { ...DOWN, code: "InvalidInput", concerns: "question" };

/** Waits until everything that needs neither timer nor response has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A table whose state the test sets, and a clock that the test moves. */
class Table implements EntrySource {
  rows = new Map<string, Record<string, unknown>>();
  trouble: TableTrouble | undefined;
  /** Queries for these get no response. */
  readonly troubles = new Map<string, TableTrouble>();
  /** Every query, with its timeout in milliseconds. */
  readonly asked: [question: string, timeout: number][] = [];
  /** Responses wait for it. */
  gate: Promise<void> | undefined;
  readonly reports: string[] = [];
  now = 0;
  readonly #timers = new Set<{ readonly at: number; readonly ring: () => void }>();

  /** Lets time pass, and rings due alarms. */
  async elapse(milliseconds: number): Promise<void> {
    await settled();
    this.now += milliseconds;
    for (const timer of this.#timers) {
      if (timer.at > this.now) continue;
      this.#timers.delete(timer);
      timer.ring();
    }
    await settled();
  }

  /** Holds responses back. @returns a function that releases them */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gate = promise;
    return () => {
      this.gate = undefined;
      resolve();
    };
  }

  get timers(): number {
    return this.#timers.size;
  }

  async find(id: string, timeout: number) {
    this.asked.push([id, timeout]);
    await this.gate;
    const columns = this.rows.get(id);
    return this.trouble ?? this.troubles.get(id) ??
      (columns === undefined ? undefined : { id, columns });
  }

  async findByClient(clientId: string, timeout: number) {
    this.asked.push([clientId, timeout]);
    await this.gate;
    return this.trouble ?? this.troubles.get(clientId) ??
      [...this.rows].map(([id, columns]): Row => ({ id, columns }));
  }

  entries(options: Partial<EntriesOptions> = {}): Entries {
    return new Entries({
      source: this,
      maxAge: HOUR,
      clock: {
        now: () => this.now,
        alarm: (milliseconds, ring) => {
          const timer = { at: this.now + milliseconds, ring };
          this.#timers.add(timer);
          return () => this.#timers.delete(timer);
        },
      },
      onTrouble: ({ code }, served) => void this.reports.push(`${code} ${served}`),
      onRecovery: () => void this.reports.push("recovered"),
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
  it("is read once a minute, and a change takes effect then (the contract's 60 s)", async () => {
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

  it("counts its age from the query, not from a late response", async () => {
    const table = open();
    const entries = table.entries();
    const answer = table.hold();
    const first = entries.byId("printer");
    await table.elapse(5_000);
    answer();
    await first;
    table.now = MINUTE;
    await entries.byId("printer");
    assert.equal(table.asked.length, 2);
  });

  it("is read once for all concurrent logins", async () => {
    const table = open();
    const entries = table.entries();
    const gate = Promise.withResolvers<void>();
    table.gate = gate.promise;
    const results = Array.from({ length: 50 }, () => entries.byId("printer"));
    gate.resolve();
    assert.deepEqual(new Set((await Promise.all(results)).map(line)), new Set(["entry printer"]));
    assert.equal(table.asked.length, 1);
  });

  it("that is missing is read again after 2 s, however often it is needed", async () => {
    const table = open({});
    const entries = table.entries();
    const missing = /^535 5\.7\.8 The lookup has no entry for this id$/;
    for (table.now = 0; table.now < 20_000; table.now += 100) {
      assert.match(line(await entries.byId("printer")), missing);
    }
    assert.equal(table.asked.length, 10);
    table.rows.set("printer", IDS);
    assert.equal(line(await entries.byId("printer")), "entry printer");
  });

  it("stays although clients guess more ids than are cached", async () => {
    const table = open();
    const entries = table.entries({ capacity: 10 });
    await entries.byId("printer");
    for (let i = 0; i < 100; i++) await entries.byId(`guess${i}`);
    const before = table.asked.length;
    await entries.byId("printer");
    assert.equal(table.asked.length, before);
  });

  it("is evicted when there are more than the cache holds", async () => {
    const table = open(Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`e${i}`, IDS])));
    const entries = table.entries({ capacity: 10 });
    for (let i = 0; i < 11; i++) await entries.byId(`e${i}`);
    await entries.byId("e0");
    assert.equal(table.asked.length, 12);
  });

  it("with an id that no table can have is refused without a query", async () => {
    const table = open();
    const entries = table.entries();
    for (const id of ["a/b", "a#b", "a?b", "a\\b", "a\x00b", "x".repeat(1025), ""]) {
      assert.match(line(await entries.byId(id)), /^535 5\.7\.8 The lookup id has characters/);
    }
    assert.deepEqual(table.asked, []);
  });

  it("with a mistake is refused, and the log names row and column", async () => {
    const table = open({ printer: { ...IDS, from_email: "nobody" } });
    const result = await table.entries().byId("printer");
    assert.match(line(result), /^535 5\.7\.8 The lookup's entry has a mistake in from_email/);
    assert(result.type === "refused");
    assert.equal(
      result.detail,
      'entry "printer" of the lookup table: from_email must be one mail address',
    );
  });
});

describe("an entry that has refused a login", () => {
  const PRINTER = { type: "lookup", id: "printer" } as const;

  it("is read again for the next login, at most once in 2 s", async () => {
    const table = open();
    const entries = table.entries();
    for (; table.now < 30_000; table.now += 100) {
      await entries.byId("printer");
      entries.doubt(PRINTER);
    }
    assert.equal(table.asked.length, 15);
    table.rows.set("printer", { ...IDS, from_email: "new@x.test" });
    const result = await entries.byId("printer");
    assert(result.type === "entry");
    assert.equal(result.entry.fromEmail, "new@x.test");
    // No login has been refused by that.
    table.now += 50_000;
    await entries.byId("printer");
    assert.equal(table.asked.length, 16);
  });

  it("is read again immediately if the last read was 2 s ago", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.now = 50_000;
    await entries.byId("printer");
    assert.equal(table.asked.length, 1);
    entries.doubt(PRINTER);
    await entries.byId("printer");
    assert.equal(table.asked.length, 2);
  });

  it("is read again once for all concurrent logins", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    entries.doubt(PRINTER);
    table.now = 2_000;
    const answer = table.hold();
    const logins = Array.from({ length: 50 }, () => entries.byId("printer"));
    table.rows.set("printer", { ...IDS, disabled: true });
    answer();
    for (const result of await Promise.all(logins)) assert.match(line(result), /disabled/);
    assert.equal(table.asked.length, 2);
  });

  it("of a client is read again in the same way, with all entries of that client", async () => {
    const table = open({ a: { ...IDS, tenant_id: OTHER } });
    const entries = table.entries();
    assert.match(line(await entries.byTenantAndClient(TENANT, CLIENT)), /^535 .* no entry/);
    entries.doubt({ type: "direct", clientId: CLIENT });
    table.rows.set("b", IDS);
    table.now = 1_999;
    assert.match(line(await entries.byTenantAndClient(TENANT, CLIENT)), /^535 .* no entry/);
    table.now = 2_000;
    assert.equal(line(await entries.byTenantAndClient(TENANT, CLIENT)), "entry b");
    assert.equal(table.asked.length, 2);
  });

  it("does not delay messages of open sessions, which use the cached entry", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    entries.doubt(PRINTER);
    table.now = 2_000;
    table.hold();
    void entries.byId("printer");
    await settled();
    assert.equal(line(await entries.byId("printer", false)), "entry printer");
    table.now = 4_500;
    assert.equal(line(await entries.byId("printer", false)), "entry printer");
    assert.equal(table.asked.length, 2);
  });

  for (const maxAge of [HOUR, "off"] as const) {
    it(`stays in force while the table does not respond, with a maxAge of ${maxAge}`, async () => {
      const table = open({ printer: { ...IDS, disabled: true } });
      const entries = table.entries({ maxAge });
      const refused = async (id: string) => assert.match(line(await entries.byId(id)), /^535 /);
      await refused("printer");
      await refused("missing");
      entries.doubt(PRINTER);
      table.trouble = DOWN;
      // Each is queried once, then left alone for as long as other failed ones.
      for (table.now = 2_000; table.now < 9_900; table.now += 100) {
        await refused("printer");
        await refused("missing");
      }
      assert.deepEqual(table.asked.slice(2).map(([id]) => id), ["printer", "missing"]);
      table.now = 12_000;
      await refused("printer");
      assert.match(line(await entries.byId("missing")), /^454 /);
    });
  }

  it("is awaited for 3 s when the table is slow", async () => {
    const table = open();
    const entries = table.entries({ maxAge: "off" });
    await entries.byId("printer");
    entries.doubt(PRINTER);
    table.now = 2_000;
    table.hold();
    const results: string[] = [];
    void entries.byId("printer").then((result) => results.push(line(result)));
    await table.elapse(2_999);
    assert.deepEqual(results, []);
    await table.elapse(1);
    assert.deepEqual(results, ["entry printer"]);
  });

  it("disappears with the table", async () => {
    const table = open({});
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = GONE;
    table.now = 2_000;
    assert.match(line(await entries.byId("printer")), /^454 4\.7\.0 .*TableNotFound/);
    assert.match(line(await entries.byId("printer")), /^454 4\.7\.0 .*TableNotFound/);
  });

  it("is one of eight concurrent reads: a flood uses cached entries", async () => {
    const ids = Array.from({ length: 100 }, (_, i) => `entry${i}`);
    const table = open(Object.fromEntries(ids.map((id) => [id, { ...IDS, disabled: true }])));
    const entries = table.entries();
    for (const id of ids) {
      await entries.byId(id);
      entries.doubt({ type: "lookup", id });
      await entries.byId(`no ${id}`);
    }
    table.now = 2_000;
    table.hold();
    let refused = 0;
    const logIn = (id: string) => void entries.byId(id).then(() => refused++);
    for (const id of ids) {
      logIn(id);
      logIn(`no ${id}`);
    }
    await settled();
    assert.equal(table.asked.length, 200 + 8);
    assert.equal(refused, 192);
    // New and due entries have their own turns.
    void entries.byId("new");
    await settled();
    assert.equal(table.asked.length, 200 + 9);
    table.now = MINUTE;
    logIn("entry50");
    await settled();
    assert.equal(table.asked.length, 200 + 10);
  });
});

describe("a table that does not respond", () => {
  it("defers a login with 454 4.7.0 and the reason", async () => {
    const table = open();
    table.trouble = DOWN;
    const result = await table.entries().byId("printer");
    assert.match(line(result), /^454 4\.7\.0 .*ECONNREFUSED: no table$/);
    assert.equal(result.type, "later");
    assert.deepEqual(table.reports, ["ECONNREFUSED false"]);
  });

  it("is replaced by cached entries, up to a maximum age", async () => {
    const table = open();
    const entries = table.entries({ maxAge: HOUR });
    await entries.byId("printer");
    table.trouble = DOWN;
    for (const now of [MINUTE, 2 * MINUTE, HOUR - 1]) {
      table.now = now;
      assert.equal(line(await entries.byId("printer")), "entry printer");
    }
    assert(
      table.reports.length > 0 && table.reports.every((report) => report === "ECONNREFUSED true"),
    );
    table.now = HOUR;
    assert.match(line(await entries.byId("printer")), /^454 /);
    // For what was never read there is no replacement.
    assert.match(line(await entries.byId("scanner")), /^454 /);
  });

  it("is not replaced by the cache with AZURE_TABLES_CACHE_MAX_AGE=off", async () => {
    const table = open();
    const entries = table.entries({ maxAge: "off" });
    await entries.byId("printer");
    table.trouble = DOWN;
    table.now = MINUTE - 1;
    assert.equal(line(await entries.byId("printer")), "entry printer");
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^454 /);
  });

  it("accepts no login whose entry was missing at the last read", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.rows.clear();
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^535 .* no entry/);
    table.trouble = DOWN;
    table.now += 10_000;
    assert.match(line(await entries.byId("printer")), /^454 .*ECONNREFUSED/);
  });

  it("accepts no login whose entry was disabled at the last read", async () => {
    const table = open({ printer: { ...IDS, disabled: true } });
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = DOWN;
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^535 /);
  });

  it("is queried less often when the cache can replace it", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = DOWN;
    for (let i = 0; i < 100; i++) {
      table.now = MINUTE + i * 100;
      await entries.byId("printer");
    }
    assert.deepEqual(table.asked, [["printer", 10_000], ["printer", 10_000]]);
  });

  it("takes effect again as soon as it responds, within the minute, which is reported once", async () => {
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
    assert.deepEqual(table.reports, ["ECONNREFUSED true", "recovered"]);
  });

  it("because it was deleted has no entries: 454 immediately after the minute", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = GONE;
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^454 4\.7\.0 .*TableNotFound/);
    assert.deepEqual(table.reports, ["TableNotFound false"]);
    // Nor when it can no longer even say that.
    table.trouble = DOWN;
    table.now = 2 * MINUTE;
    assert.match(line(await entries.byId("printer")), /^454 4\.7\.0 .*ECONNREFUSED/);
  });

  it("because it was deleted loses all entries, whichever login notices it", async () => {
    const table = open({ printer: IDS, scanner: IDS });
    const entries = table.entries();
    await entries.byId("printer");
    table.trouble = GONE;
    await entries.byId("scanner");
    table.trouble = DOWN;
    assert.match(line(await entries.byId("printer")), /^454 /);
  });
});

describe("a table that responds slowly", () => {
  it("is awaited for 3 s if a cached entry can serve, else for 10 s", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.now = MINUTE;
    table.hold();
    const results: string[] = [];
    const login = (id: string) => entries.byId(id).then((result) => results.push(line(result)));
    void login("printer");
    void login("scanner");
    await table.elapse(2_999);
    assert.deepEqual(results, []);
    await table.elapse(1);
    assert.deepEqual(results, ["entry printer"]);
    // Later logins do not wait for the same again.
    await login("printer");
    assert.deepEqual(results, ["entry printer", "entry printer"]);
    assert.deepEqual(table.asked.slice(1), [["printer", 10_000], ["scanner", 10_000]]);
  });

  it("is still obeyed: the response counts when it arrives, dated from its query", async () => {
    const table = open();
    const entries = table.entries({ maxAge: 12 * HOUR });
    await entries.byId("printer");
    table.rows.set("printer", { ...IDS, disabled: true });
    table.now = MINUTE;
    const answer = table.hold();
    const login = entries.byId("printer");
    await table.elapse(4_000);
    assert.equal(line(await login), "entry printer");
    answer();
    await settled();
    assert.match(line(await entries.byId("printer")), /^535 .* disabled/);
    table.now = 2 * MINUTE - 1;
    await entries.byId("printer");
    assert.equal(table.asked.length, 2);
    table.now = 2 * MINUTE;
    await entries.byId("printer");
    assert.equal(table.asked.length, 3);
    assert.deepEqual(table.reports, []);
    assert.equal(table.timers, 0);
  });

  it("and then fails is reported, and left alone for 10 s from then on", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.now = MINUTE;
    const answer = table.hold();
    const login = entries.byId("printer");
    await table.elapse(3_000);
    assert.equal(line(await login), "entry printer");
    await table.elapse(7_000);
    table.trouble = DOWN;
    answer();
    await settled();
    assert.deepEqual(table.reports, ["ECONNREFUSED true"]);
    await table.elapse(9_999);
    await entries.byId("printer");
    assert.equal(table.asked.length, 2);
    await table.elapse(1);
    await entries.byId("printer");
    assert.equal(table.asked.length, 3);
  });

  it("restores nothing that was read before the table was deleted", async () => {
    const table = open();
    const entries = table.entries();
    const answer = table.hold();
    const early = entries.byId("printer");
    await table.elapse(1);
    table.gate = undefined;
    table.troubles.set("scanner", GONE);
    await entries.byId("scanner");
    answer();
    await early;
    table.trouble = DOWN;
    assert.match(line(await entries.byId("printer")), /^454 4\.7\.0 .*ECONNREFUSED/);
  });
});

describe("queries for unknown clients", () => {
  for (const trouble of [BAD_QUESTION, DOWN]) {
    it(`that fail with ${trouble.code} keep no disabled entry alive`, async () => {
      const table = open();
      const entries = table.entries({ maxAge: 12 * HOUR });
      await entries.byId("printer");
      table.rows.set("printer", { ...IDS, disabled: true });
      for (table.now = 5_000; table.now <= 2 * MINUTE; table.now += 5_000) {
        table.troubles.set(`bad${table.now}`, trouble);
        await entries.byId(`bad${table.now}`);
        const served = line(await entries.byId("printer"));
        if (table.now >= MINUTE) assert.match(served, /^535 .* disabled/, `at ${table.now}`);
      }
    });
  }

  it("delay an entry whose own query failed by a minute at most", async () => {
    const table = open();
    const entries = table.entries({ maxAge: 12 * HOUR });
    await entries.byId("printer");
    table.rows.set("printer", { ...IDS, disabled: true });
    table.troubles.set("printer", DOWN).set("bad", DOWN);
    table.now = MINUTE;
    assert.equal(line(await entries.byId("printer")), "entry printer");
    table.troubles.delete("printer");
    for (let i = 1; i < 12; i++) {
      table.now += 5_000;
      await entries.byId("bad");
      assert.equal(line(await entries.byId("printer")), "entry printer");
    }
    table.now += 5_000;
    await entries.byId("bad");
    assert.match(line(await entries.byId("printer")), /^535 .* disabled/);
  });

  it("that are invalid do not count as the table's failure", async () => {
    const table = open();
    const entries = table.entries();
    table.troubles.set("bad", BAD_QUESTION);
    assert.match(line(await entries.byId("bad")), /^454 4\.7\.0 .*InvalidInput/);
    await entries.byId("printer");
    assert.deepEqual(table.reports, ["InvalidInput false"]);
  });

  it("do not decide whether the table responds, but its own queries do", async () => {
    const table = open();
    const entries = table.entries();
    assert.equal(entries.tableState, "not asked");
    table.troubles.set("bad", BAD_QUESTION);
    await entries.byId("bad");
    assert.equal(entries.tableState, "not asked");
    await entries.byId("printer");
    assert.equal(entries.tableState, "answers");
    await entries.byId("bad");
    assert.equal(entries.tableState, "answers");
    table.trouble = DOWN;
    await entries.byId("nobody");
    assert.equal(entries.tableState, DOWN);
    table.trouble = undefined;
    await entries.byId("another");
    assert.equal(entries.tableState, "answers");
    table.trouble = DOWN;
    table.now = MINUTE;
    assert.equal(line(await entries.byId("printer")), "entry printer");
    assert.equal(entries.tableState, DOWN);
  });

  it("evict no entry, and are one query per client whatever tenants they guess", async () => {
    const table = open({ domain: { tenant_id: "contoso.example", client_id: CLIENT } });
    table.rows.set("printer", { tenant_id: TENANT, client_id: OTHER });
    const entries = table.entries({ capacity: 10 });
    await entries.byId("printer");
    for (let i = 0; i < 100; i++) {
      const tenant = `${String(i).padStart(8, "0")}${TENANT.slice(8)}`;
      const guess = await entries.byTenantAndClient(tenant, CLIENT);
      assert.match(line(guess), /^535 .* no entry for this tenant and client/);
    }
    assert.equal(table.asked.length, 2);
    // Clients without an entry evict nothing either.
    for (let i = 0; i < 100; i++) {
      await entries.byTenantAndClient(TENANT, `${String(i).padStart(8, "0")}${CLIENT.slice(8)}`);
    }
    table.trouble = DOWN;
    table.now = MINUTE;
    assert.equal(line(await entries.byId("printer")), "entry printer");
  });

  it("are 32 at a time; the others wait, and get 454 after 7 s", async () => {
    const table = open();
    const entries = table.entries();
    const answer = table.hold();
    const results: string[] = [];
    for (let i = 0; i < 100; i++) {
      void entries.byId(`guess${i}`).then((result) => results.push(line(result)));
    }
    await table.elapse(6_000);
    assert.equal(table.asked.length, 32);
    answer();
    await settled();
    assert.equal(results.length, 100);
    // The rest of the ten seconds: never so little that a working table would be considered late.
    assert.deepEqual(table.asked.at(-1), ["guess99", 4_000]);

    table.hold();
    results.length = 0;
    for (let i = 100; i < 133; i++) {
      void entries.byId(`guess${i}`).then((result) => results.push(line(result)));
    }
    await table.elapse(7_000);
    assert.equal(results.length, 1);
    assert.match(results[0]!, /^454 4\.7\.0 .*TABLE_CROWDED: .* 32 queries .* try again$/);
  });

  it("do not prevent a cached entry from being read again", async () => {
    const table = open();
    const entries = table.entries();
    await entries.byId("printer");
    table.rows.set("printer", { ...IDS, disabled: true });
    table.hold();
    for (let i = 0; i < 100; i++) void entries.byId(`guess${i}`);
    await settled();
    table.gate = undefined;
    table.now = MINUTE;
    assert.match(line(await entries.byId("printer")), /^535 .* disabled/);
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

  it("is missing if only one of the ids matches", async () => {
    const missing = /^535 5\.7\.8 The lookup has no entry for this tenant and client$/;
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

  it("that comes first but has a mistake is not skipped", async () => {
    const { line, detail } = await direct({ b: of(), a: of({ from_email: "nobody" }) });
    assert.match(line, /^535 .* mistake in from_email/);
    assert.match(detail, /entry "a"/);
  });

  it("is chosen for each tenant of a client, by one query for all", async () => {
    const table = open({
      a: of(),
      b: of({ tenant_id: OTHER, disabled: true }),
      c: of({ tenant_id: OTHER }),
    });
    const entries = table.entries();
    assert.equal(line(await entries.byTenantAndClient(TENANT, CLIENT)), "entry a");
    assert.equal(line(await entries.byTenantAndClient(OTHER, CLIENT)), "entry c");
    assert.equal(table.asked.length, 1);
  });

  it("is not found by the tenant's domain, and the log says what to do", async () => {
    const { line, detail } = await direct({ a: of({ tenant_id: "contoso.example" }) });
    assert.match(line, /^535 5\.7\.8 The lookup has no entry for this tenant and client$/);
    assert.match(detail, /entry "a" .* a domain as its tenant_id: write the tenant's id/);
  });
});
