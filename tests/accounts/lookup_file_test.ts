/** LOOKUP_FILE as it changes: when a new content is used, and when the entries from before stay. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  LookupFile,
  LookupFileError,
  type LookupFileOptions,
  type LookupFileReport,
} from "../../src/accounts/lookup_file.ts";
import { CHECKED, SLICE } from "../../src/accounts/lookup_file_entries.ts";
import { fileErrorText } from "../../src/settings/file_error.ts";

const CLIENT = "22222222-2222-2222-2222-222222222222";
const IDS = { tenant_id: "contoso.example", client_id: CLIENT };
const HASH = `$sha256$${"A".repeat(22)}$${"A".repeat(43)}`;
/** Milliseconds between two looks: quick enough for a test, and slow enough for a machine under load. */
const QUICK = { interval: 20, settle: () => Promise.resolve() } as const;
const NEVER = { interval: 2 ** 30 } as const;

/** Reports as they come. */
class Reports {
  readonly all: LookupFileReport[] = [];
  #waiting: (() => void)[] = [];

  readonly add = (report: LookupFileReport) => {
    this.all.push(report);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  /** The next one of this type from now on. */
  async next<Type extends LookupFileReport["type"]>(
    type: Type,
  ): Promise<LookupFileReport & { readonly type: Type }> {
    for (let seen = this.all.length;; seen++) {
      while (this.all.length <= seen) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      const report = this.all[seen]!;
      if (report.type === type) return report as LookupFileReport & { readonly type: Type };
    }
  }

  get types(): string[] {
    return this.all.map(({ type }) => type);
  }
}

describe("LOOKUP_FILE", () => {
  let directory: string;
  let path: string;
  let reports: Reports;
  const opened: LookupFile[] = [];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lookup-"));
    path = join(directory, "lookup.json");
    reports = new Reports();
  });
  afterEach(() => {
    for (const file of opened.splice(0)) file.close();
    rmSync(directory, { recursive: true });
  });

  const write = (content: object | string, to = path) => {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    writeFileSync(to, text, { mode: 0o600 });
  };
  /** As an editor or `lookup` replaces it. */
  const replace = (content: object | string) => {
    write(content, `${path}.new`);
    renameSync(`${path}.new`, path);
  };
  const open = async (options: Partial<LookupFileOptions> = QUICK) => {
    const file = await LookupFile.open({
      path,
      report: reports.add,
      explain: fileErrorText,
      ...options,
    });
    opened.push(file);
    return file;
  };
  const cannotOpen = async () => {
    try {
      await open();
    } catch (error) {
      assert(error instanceof LookupFileError, String(error));
      return error.message;
    }
    return "";
  };

  it("is loaded at the start", async () => {
    write({ a: IDS, b: { ...IDS, client_id: "IiIiIiIiIiIiIiIiIiIiIg" }, c: { client_id: "x" } });
    const file = await open();
    assert.deepEqual(file.find("a")?.columns["client_id"], CLIENT);
    assert.equal(file.find("constructor"), undefined);
    assert.deepEqual(file.findByClient(CLIENT).map(({ id }) => id), ["a", "b"]);
    assert.deepEqual(reports.all, [{
      type: "loaded",
      entries: 3,
      unusable: {
        count: 1,
        named: [{ id: "c", problem: "client_id must be a UUID" }],
      },
    }]);
    assert.deepEqual([file.state.entries, file.state.unusable, file.state.failed], [
      3,
      1,
      undefined,
    ]);
  });

  it("sorts the entries of a client by their ids, not by their places", async () => {
    write('{"b": {"client_id": "' + CLIENT + '"}, "a": {"client_id": "' + CLIENT + '"}}');
    assert.deepEqual((await open()).findByClient(CLIENT).map(({ id }) => id), ["a", "b"]);
  });

  it("names an entry whose id no table could have, and gives it to no direct login", async () => {
    write({ "a/b": IDS });
    const file = await open();
    assert.deepEqual(file.findByClient(CLIENT), []);
    const [report] = reports.all;
    assert(report?.type === "loaded");
    assert.match(report.unusable.named[0]!.problem, /^the id can be no key of a table/);
  });

  it("may begin with a byte order mark (RFC 8259 §8.1)", async () => {
    write("\ufeff" + JSON.stringify({ a: IDS }));
    assert((await open()).find("a") !== undefined);
  });

  const bad: readonly [name: string, content: string | Uint8Array, reason: RegExp][] = [
    ["is not JSON", '{"a": {]', /^line 1, column 8: /],
    ["is empty", "", /^line 1, column 1: the file is empty/],
    ["has an id twice", '{"a": {},\n"a": {}}', /^line 2, column 1: the id "a" is there twice/],
    [
      "is in UTF-16",
      new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]),
      /in UTF-16: save it as UTF-8$/,
    ],
    ["is in Latin-1", new Uint8Array([0x7b, 0x22, 0xe4, 0x22]), /not UTF-8: save it as UTF-8$/],
  ];
  for (const [name, content, reason] of bad) {
    it(`stops the start if it ${name}`, async () => {
      writeFileSync(path, content);
      assert.match(await cannotOpen(), reason);
    });
  }

  it("stops the start if it is missing, a directory, or too large to be read", async () => {
    assert.match(await cannotOpen(), /^there is no such file or directory \(ENOENT\)$/);
    mkdirSync(path);
    assert.equal(await cannotOpen(), "it is not a regular file");
    rmSync(path, { recursive: true });
    write("{}");
    truncateSync(path, 16 * 1024 * 1024 + 1);
    assert.equal(await cannotOpen(), "it has 16777217 bytes, and may have 16777216 (16 MiB)");
  });

  it("is loaded again after it was replaced, without a signal", async () => {
    write({ a: IDS });
    const file = await open();
    const replaced = reports.next("replaced");
    replace({ b: IDS });
    assert.equal((await replaced).entries, 1);
    assert.deepEqual([file.find("a"), file.find("b")?.id], [undefined, "b"]);
  });

  it("is loaded again when Kubernetes exchanges the directory that it is in", async () => {
    for (const name of ["one", "two"]) {
      mkdirSync(join(directory, name));
      write({ [name]: IDS }, join(directory, name, "lookup.json"));
    }
    symlinkSync("one", join(directory, "..data"));
    symlinkSync(join("..data", "lookup.json"), path);
    const file = await open();
    assert(file.find("one") !== undefined);
    const replaced = reports.next("replaced");
    symlinkSync("two", join(directory, "..tmp"));
    renameSync(join(directory, "..tmp"), join(directory, "..data"));
    await replaced;
    assert.deepEqual([file.find("one"), file.find("two")?.id], [undefined, "two"]);
  });

  it("is loaded again after a change in its place that left size and time as they were", async () => {
    write('{"a": {}}');
    const file = await open();
    const then = new Date();
    utimesSync(path, then, then);
    const replaced = reports.next("replaced");
    write('{"b": {}}');
    utimesSync(path, then, then);
    await replaced;
    assert(file.find("b") !== undefined);
  });

  it("keeps its entries while it is half-written, and takes the rest when it comes", async () => {
    write({ a: IDS });
    const file = await open();
    const kept = reports.next("kept");
    const text = JSON.stringify({ a: IDS, b: IDS });
    write(text.slice(0, -10));
    assert.match((await kept).reason, /the file ends too early: is it complete\?$/);
    assert(file.find("a") !== undefined);
    assert.equal(file.state.failed?.reason, (await kept).reason);
    const replaced = reports.next("replaced");
    appendFileSync(path, text.slice(-10));
    await replaced;
    assert.deepEqual([file.find("b")?.id, file.state.failed], ["b", undefined]);
  });

  it("does not read what is still being written", async () => {
    write({ a: IDS });
    const text = JSON.stringify({ b: IDS });
    const ends = [10, 15, text.length];
    // Each time that it waits for the file to settle, a further part comes.
    const settle = () => {
      const end = ends.shift();
      if (end !== undefined) write(text.slice(0, end));
      return Promise.resolve();
    };
    await open({ interval: 5, settle });
    const replaced = reports.next("replaced");
    write(text.slice(0, 5));
    await replaced;
    assert.deepEqual(ends, []);
    assert.deepEqual(reports.types, ["loaded", "replaced"]);
  });

  it("says once what is wrong with a new content, and again for the next one", async () => {
    write({ a: IDS });
    // Called for each look at a file that is not there.
    let looks = 0;
    const many = Promise.withResolvers<void>();
    const explain = (error: unknown) => {
      if (++looks === 3) many.resolve();
      return fileErrorText(error);
    };
    const file = await open({ ...QUICK, explain });
    const first = reports.next("kept");
    replace('{"a": {}, "a": {}}');
    assert.match((await first).reason, /twice/);
    // A look that changes nothing is not reported: the next report is of the next content.
    const second = reports.next("kept");
    replace("[]");
    assert.match((await second).reason, /must be one object/);
    const third = reports.next("kept");
    rmSync(path);
    assert.match((await third).reason, /ENOENT/);
    await many.promise;
    const back = reports.next("unchanged");
    replace({ a: IDS });
    assert.equal((await back).entries, 1);
    assert.deepEqual(reports.types, ["loaded", "kept", "kept", "kept", "unchanged"]);
    assert.equal(file.state.failed, undefined);
  });

  it("is read at once when that is asked for, and says what came of it", async () => {
    write({ a: IDS });
    const file = await open(NEVER);
    await file.refresh();
    replace({ b: IDS });
    await file.refresh();
    replace("{");
    await file.refresh();
    await file.refresh();
    assert.deepEqual(reports.types, ["loaded", "unchanged", "replaced", "kept", "kept"]);
    assert(file.find("b") !== undefined);
  });

  it("is read once for many requests that come at the same time", async () => {
    write({ a: IDS });
    const file = await open(NEVER);
    await Promise.all(Array.from({ length: 100 }, () => file.refresh()));
    assert.deepEqual(reports.types, ["loaded", "unchanged"]);
  });

  it("is looked at before a login after one that was refused", async () => {
    write({ a: { ...IDS, disabled: true } });
    const file = await open(NEVER);
    replace({ a: IDS });
    await file.beforeLogin();
    assert.equal(file.find("a")?.columns["disabled"], true, "nothing was refused yet");
    file.doubt();
    await file.beforeLogin();
    assert.equal(file.find("a")?.columns["disabled"], undefined);
    replace("{");
    file.doubt();
    await file.beforeLogin();
    assert.deepEqual(reports.types, ["loaded", "replaced"], "at most once in two seconds");
  });

  it("is not read any more after it was closed", async () => {
    write({ a: IDS });
    const file = await open(NEVER);
    file.close();
    replace({ b: IDS });
    await file.refresh();
    assert.deepEqual(reports.types, ["loaded"]);
  });

  it("warns of a mode that lets others read hashes, or write", {
    skip: process.platform === "win32" && "Windows has no modes",
  }, async () => {
    const modes: readonly [content: object, mode: number, to: string | undefined][] = [
      [{ a: IDS }, 0o644, undefined],
      [{ a: { ...IDS, password_hash: HASH } }, 0o640, undefined],
      [{ a: { ...IDS, password_hash: HASH } }, 0o644, "read"],
      [{ a: IDS }, 0o646, "write"],
    ];
    for (const [content, mode, to] of modes) {
      write(content);
      chmodSync(path, mode);
      reports = new Reports();
      await open(NEVER);
      const exposed = reports.all.flatMap((report) => report.type === "exposed" ? [report.to] : []);
      assert.deepEqual(exposed, to === undefined ? [] : [to]);
    }
  });

  it("gives others their turn while it loads 10,000 entries", async () => {
    const entries = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [
      `device${i}`,
      {
        ...IDS,
        from_email: `device${i}@contoso.example`,
        allowed_senders: "@contoso.example",
        description: `Floor ${i % 100}`,
        password_hash: HASH,
        credential: "certificate",
      },
    ]));
    const text = JSON.stringify(entries, null, 2);
    write(text);
    let pauses = 0;
    const file = await open({
      ...NEVER,
      pause: async () => {
        pauses++;
        await Promise.resolve();
      },
    });
    assert.equal(file.state.entries, 10_000);
    assert.equal(file.state.unusable, 0);
    // Work between two pauses is bounded by characters and entries, so that no clock is needed.
    const longest = text.length / 10_000 * 2;
    const expected = Math.floor(text.length / (SLICE + longest)) + 10_000 / CHECKED;
    assert(pauses >= expected, `${pauses} pauses, not ${expected}`);
  });
});
