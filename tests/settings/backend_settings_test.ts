/** The settings of the ways out: what they mean, and which of them do not go together. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Buffer } from "node:buffer";
import { readEntry } from "../../src/accounts/entry.ts";
import { backends, smtpUrl } from "../../src/settings/backend_settings.ts";
import { cloudOf } from "../../src/settings/clouds.ts";
import { CLIENT, TENANT } from "../support/logins.ts";
import { goodSettings, problemsOf, settingsOf } from "../support/settings.ts";

const HOST = { SMARTHOST_URL: "smtp://mail.example" };
/** Those who may use a way out on which only the relay logs in. */
const OURS = { ALLOWED_TENANTS: TENANT };

describe("BACKEND", () => {
  it("is a list in its order, each name once, in any case", () => {
    assert.deepEqual(backends.parse("Graph, EXCHANGE,graph"), ["graph", "exchange"]);
    for (const text of ["", ",", "postfix", "graph;exchange"]) {
      assert.equal(backends.parse(text), undefined, text);
    }
    assert.match(
      problemsOf({ BACKEND: "graph,postfix" })[0]!,
      /^BACKEND "postfix", in "graph,postfix", must be one or more of graph, exchange, smarthost, hve, acs/,
    );
    for (
      const [given, meant] of [
        ["smartost", "smarthost"],
        ["graph exchange", "graph,exchange"],
        ["graph;Exchnage", "graph,exchange"],
      ] as const
    ) {
      assert(problemsOf({ BACKEND: given })[0]!.endsWith(`; did you mean "${meant}"?`), given);
    }
    for (const given of ["postfix", ",", "a", "smtp"]) {
      assert.doesNotMatch(problemsOf({ BACKEND: given })[0]!, /did you mean/, given);
    }
  });

  it("is the same for an entry of the lookup table, whose column may be empty", () => {
    const columns = { tenant_id: TENANT, client_id: CLIENT };
    const read = (backend: unknown) => readEntry({ id: "a", columns: { ...columns, backend } });
    const good = read("exchange, Graph");
    assert(good.type === "entry");
    assert.deepEqual(good.entry.backends, ["exchange", "graph"]);
    const bad = read("mailgun");
    assert(bad.type === "malformed");
    assert.equal(bad.mistake.column, "backend");
    const none = read(" ");
    assert(none.type === "entry" && !("backends" in none.entry));
  });
});

describe("the URL of an SMTP server", () => {
  const cases = [
    ["smtp://mail.example", { hostname: "mail.example", port: 587, tls: "starttls" }],
    ["smtp://mail.example:25/", { hostname: "mail.example", port: 25, tls: "starttls" }],
    ["SMTPS://Mail.Example", { hostname: "mail.example", port: 465, tls: "implicit" }],
    ["smtp://mail.example:80", { hostname: "mail.example", port: 80, tls: "starttls" }],
    ["smtp://[2001:db8::1]:2525", { hostname: "2001:db8::1", port: 2525, tls: "starttls" }],
    ["smtp://127.0.0.1:25", { hostname: "127.0.0.1", port: 25, tls: "loopback" }],
    ["smtp://[::1]", { hostname: "::1", port: 587, tls: "loopback" }],
    ["smtps://localhost:465", { hostname: "localhost", port: 465, tls: "implicit" }],
    ["smtp://127.evil.example", { hostname: "127.evil.example", port: 587, tls: "starttls" }],
  ] as const;
  for (const [text, server] of cases) {
    it(`${text} means ${server.hostname} port ${server.port}, ${server.tls}`, () => {
      assert.deepEqual(smtpUrl.parse(text), server);
    });
  }

  it("has neither user nor path, and no other scheme", () => {
    for (
      const text of [
        ...["smtp://", "smtp://a:0", "smtp://a:65536", "smtp://a/b", "smtp://a?b", "http://a"],
        ...["smtp://user:pw@a", "smtp://a b", "mail.example:25", "smtp://a:x", "smtp://a\\b"],
      ]
    ) assert.equal(smtpUrl.parse(text), undefined, text);
    const [problem] = problemsOf({ SMARTHOST_URL: "smtp://ann:hunter2@mail.example" });
    assert.match(problem!, /SMARTHOST_USERNAME, SMARTHOST_PASSWORD/);
    assert.match(
      problemsOf({ SMARTHOST_URL: "mail.example:25" })[0]!,
      /did you mean "smtp:\/\/mail/,
    );
  });
});

describe("ways out that do not go together", () => {
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [
      { BACKEND: "graph,smarthost", ...HOST },
      /^ALLOWED_TENANTS or AZURE_TABLES_FORCE_USAGE must be set when BACKEND has smarthost, which/,
    ],
    [{ BACKEND: "smarthost", ...OURS }, /^SMARTHOST_URL must be set when BACKEND has smarthost$/],
    [
      { BACKEND: "hve,smarthost", ...HOST, ...OURS },
      /^BACKEND has hve and smarthost: SMARTHOST_\* are/,
    ],
    [
      { BACKEND: "acs", ...OURS },
      /^SMARTHOST_USERNAME and SMARTHOST_PASSWORD must be set when BACKEND has acs$/,
    ],
    [
      { SMARTHOST_USERNAME: "ann", BACKEND: "smarthost", ...HOST, ...OURS },
      /^SMARTHOST_USERNAME is set, but SMARTHOST_PASSWORD is not: set both, or neither$/,
    ],
    [
      { SMARTHOST_PASSWORD: "secret", BACKEND: "smarthost", ...HOST, ...OURS },
      /^SMARTHOST_PASSWORD is set, but SMARTHOST_USERNAME is not/,
    ],
    [
      { BACKEND: "smarthost", AUTH_MECHANISMS: "PLAIN,XOAUTH2", ...HOST, ...OURS },
      /^AUTH_MECHANISMS has XOAUTH2, and BACKEND begins with smarthost, which verifies no client's/,
    ],
    [{ BACKEND: "exchange", AZURE_CLOUD: "usgov" }, /^EXCHANGE_SMTP_URL must be set .* is usgov$/],
    [{ LARGE_MESSAGES: "exchange", AZURE_CLOUD: "china" }, /^EXCHANGE_SMTP_URL must be set/],
  ];
  for (const [environment, problem] of cases) {
    it(`stop the start, in one line: ${JSON.stringify(environment)}`, () => {
      const problems = problemsOf(environment);
      assert.equal(problems.length, 1, problems.join("\n"));
      assert.match(problems[0]!, problem);
    });
  }

  it("are told as warnings where one has no effect", () => {
    const warned = (environment: Record<string, string>) => goodSettings(environment).warnings;
    assert.match(
      warned({ BACKEND: "smarthost", LARGE_MESSAGES: "exchange", ...HOST, ...OURS })[0]!,
      /^LARGE_/,
    );
    assert.match(warned(HOST)[0]!, /^SMARTHOST_URL has no effect: BACKEND does not have smarthost/);
    // An entry of the table may name it.
    const table = { AZURE_TABLES_URL: "https://a.table.core.windows.net/users" };
    assert.deepEqual(warned({ ...HOST, ...table }), []);
  });

  it("warn of QUEUE_AMBIGUOUS=ask, which only Graph can answer", () => {
    const queue = {
      DELIVERY_MODE: "queue",
      QUEUE_KEY: Buffer.alloc(32, 1).toString("base64"),
      QUEUE_AMBIGUOUS: "ask",
    };
    assert.match(goodSettings({ ...queue, BACKEND: "exchange" }).warnings[0]!, /^QUEUE_AMBIGUOUS/);
    assert.deepEqual(goodSettings(queue).warnings, []);
  });

  it("go together otherwise", () => {
    for (
      const environment of [
        { BACKEND: "graph,exchange" },
        { BACKEND: "hve" },
        { BACKEND: "exchange,smarthost", ...HOST, ...OURS },
        { BACKEND: "acs", SMARTHOST_USERNAME: "a", SMARTHOST_PASSWORD: "b", ...OURS },
        {
          BACKEND: "exchange",
          AZURE_CLOUD: "usgov",
          EXCHANGE_SMTP_URL: "smtp://smtp.office365.us",
        },
      ]
    ) assert.deepEqual(goodSettings(environment as Record<string, string>).warnings, []);
  });
});

describe("the scope of a token for Exchange by SMTP", () => {
  it("is the cloud's own, and never Graph's", () => {
    for (const AZURE_CLOUD of ["public", "usgov", "usgov-dod", "china"]) {
      const { exchangeScope, graphScope, exchangeAudiences } = cloudOf(settingsOf({ AZURE_CLOUD }));
      assert.notEqual(exchangeScope, graphScope);
      assert(exchangeAudiences.has(exchangeScope.replace("/.default", "")));
    }
    assert.equal(cloudOf(settingsOf({})).exchangeScope, "https://outlook.office365.com/.default");
  });
});
