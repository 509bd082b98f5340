/** The log's lines: one an event, in two forms, and nothing of a stranger's can make another one. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { createLog, type Log, type LogFields, type LogLevel } from "../support/log.ts";
import { Secret } from "../../src/secret.ts";

const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const;

/** A log and what it has written. */
function open(format: "text" | "json", level: LogLevel = "DEBUG") {
  const lines: string[] = [];
  const log = createLog({ level, format, write: (line) => void lines.push(line) });
  return { log, lines };
}

/** Every level once, by its method. */
function all(log: Log): void {
  log.debug("a");
  log.info("b");
  log.warning("c");
  log.error("d");
  log.critical("e");
}

/** One line about this, without its line end. */
function line(format: "text" | "json", message: string, fields?: LogFields): string {
  const { log, lines } = open(format);
  log.warning(message, fields);
  assert.equal(lines.length, 1);
  const written = lines[0]!;
  assert(written.endsWith("\n"));
  return written.slice(0, -1);
}

/** Behind the time stamp. */
function text(message: string, fields?: LogFields): string {
  const shown = line("text", message, fields);
  assert.match(shown, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING /);
  return shown.slice("2026-01-01T00:00:00.000Z WARNING ".length);
}

describe("LOG_LEVEL", () => {
  for (const [index, level] of LEVELS.entries()) {
    it(`${level} lets ${LEVELS.slice(index).join(", ")} through, and no other`, () => {
      const { log, lines } = open("json", level);
      all(log);
      const shown = lines.map((line) => (JSON.parse(line) as { level: string }).level);
      assert.deepEqual(shown, LEVELS.slice(index));
    });
  }
});

describe("a line of LOG_FORMAT=text", () => {
  const CASES: readonly (readonly [what: string, fields: LogFields, shown: string])[] = [
    ["a word, bare", { client: "192.0.2.7" }, "client=192.0.2.7"],
    ["several fields, in their order", { b: "1", a: "2" }, "b=1 a=2"],
    ["numbers and truth values", { n: 7, f: 0.5, t: true }, "n=7 f=0.5 t=true"],
    ["a text with spaces, quoted", { detail: "no answer" }, 'detail="no answer"'],
    ["an empty text, quoted", { detail: "" }, 'detail=""'],
    ["quotes, escaped", { detail: 'a "b"' }, String.raw`detail="a \"b\""`],
    ["an equals sign, quoted: it would begin a field", { detail: "x=y" }, 'detail="x=y"'],
    ["line ends, escaped", { detail: "a\r\nb" }, String.raw`detail="a\r\nb"`],
    [
      "terminal sequences, escaped",
      { detail: "\x1b[2J\x9b" },
      String.raw`detail="\u001b[2J\u009b"`,
    ],
    ["letters that are not ASCII, as they are", { from: "jürgen@x" }, 'from="jürgen@x"'],
    ["text that turns its direction, escaped", { f: "a\u202eb" }, String.raw`f="a\u202eb"`],
    ["line separators of Unicode, escaped", { f: "a\u2028b\x85" }, String.raw`f="a\u2028b\u0085"`],
    ["an object as JSON", { o: { a: [1] } }, String.raw`o="{\"a\":[1]}"`],
    ["texts of a list with commas", { to: ["a@x", "b@y"] }, "to=a@x,b@y"],
    ["nothing for what is undefined", { a: undefined, b: 1 }, "b=1"],
  ];
  for (const [what, fields, shown] of CASES) {
    it(`has ${what}`, () => assert.equal(text("Hello", fields), `Hello ${shown}`));
  }

  it("is time, level and message where there are no fields", () => {
    assert.equal(text("Message sent"), "Message sent");
  });

  it("has its message in one line too", () => {
    assert.equal(text("a\nb\x1b[0m\u2028"), String.raw`a\u000ab\u001b[0m\u2028`);
  });
});

describe("a line of LOG_FORMAT=json", () => {
  it("is an object with time, level, message and the fields", () => {
    const { time, ...rest } = JSON.parse(line("json", "Hello", { a: 1, b: "x\ny" })) as {
      time: string;
    };
    assert.deepEqual(rest, { level: "WARNING", message: "Hello", a: 1, b: "x\ny" });
    assert(Math.abs(Date.parse(time) - Date.now()) < 60_000);
  });
});

describe("a line for the journal", () => {
  function journalLines(format: "text" | "json"): string[] {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    all(createLog({ level: "DEBUG", format, journal: true, write }));
    return lines;
  }

  // sd-daemon(3): SD_DEBUG, SD_INFO, SD_WARNING, SD_ERR, SD_CRIT
  it("begins with its priority, and has no time: the journal has one", () => {
    assert.deepEqual(journalLines("text"), [
      "<7>DEBUG a\n",
      "<6>INFO b\n",
      "<4>WARNING c\n",
      "<3>ERROR d\n",
      "<2>CRITICAL e\n",
    ]);
  });

  it("does in JSON too, so that the rest is the entry's message", () => {
    const [, , warning] = journalLines("json");
    assert.equal(warning, '<4>{"level":"WARNING","message":"c"}\n');
  });
});

describe("a line of the log", () => {
  for (const format of ["text", "json"] as const) {
    it(`is one line in ${format}, whatever strangers put into it`, () => {
      const stranger = fc.oneof(
        fc.string({ unit: "binary" }),
        fc.constantFrom(
          "\n",
          "\r\n2026-01-01T00:00:00.000Z ERROR forged",
          "\0",
          '"}\n{"',
          "\ud800",
        ),
      );
      const fields = fc.dictionary(
        fc.constantFrom("a", "b", "c"),
        fc.oneof(stranger, fc.jsonValue()),
      );
      fc.assert(fc.property(stranger, fields, (message, given) => {
        const shown = line(format, message, given);
        // deno-lint-ignore no-control-regex -- none may be left
        assert(!/[\x00-\x1f]/.test(shown), JSON.stringify(shown));
        if (format === "text") assert(!/[\x7f-\x9f\u2028\u2029\u202a-\u202e]/.test(shown));
        else JSON.parse(shown);
      }));
    });

    it(`masks secrets in ${format}, at any depth`, () => {
      const secret = new Secret("hunter2");
      const deep = { a: { b: [{ c: { d: { e: { f: { g: secret } } } } }] } };
      const circular: { secret: Secret; self?: unknown } = { secret };
      circular.self = circular;
      for (const fields of [{ secret }, deep, { list: [secret, [secret]] }, { circular }]) {
        const shown = line(format, `The secret is ${secret}`, fields);
        assert(!shown.includes("hunter2"), shown);
        assert(shown.includes("The secret is [redacted]"));
      }
      assert(line(format, "x", deep).includes("[redacted]"));
      assert(line(format, "x", { secret }).includes("[redacted]"));
    });
  }

  it("has no more than the beginning of a long text, and no client secret in any text", () => {
    const { text, short } = JSON.parse(line("json", "x", {
      text: "y".repeat(5_000),
      short: `it is abc8Q~${"Zz9".repeat(12)}`,
    }));
    assert.equal(text, `${"y".repeat(2_048)}… (2952 more)`);
    assert.ok(!short.includes("Zz9Zz9"), short);
  });

  it("has no client secret where nothing else is in the field", () => {
    const secret = `abc8Q~${"Zz9".repeat(12)}`;
    for (const format of ["text", "json"] as const) {
      const shown = line(format, "x", { sender: secret, detail: `(${secret})` });
      assert.ok(!shown.includes("Zz9Zz9"), shown);
    }
  });

  it("throws for nothing that a field can be", () => {
    const odd = [
      1n,
      Symbol("x"),
      () => 1,
      new Error("x"),
      NaN,
      null,
      new Map([[1, 2]]),
      new Date(NaN),
    ];
    for (const value of odd) {
      for (const format of ["text", "json"] as const) {
        assert(line(format, "x", { value, deep: { value } }).length > 0);
      }
    }
  });
});
