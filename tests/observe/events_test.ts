/** Which events make which lines: what went wrong is WARNING, mail that went is INFO. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LoginFailure } from "../../src/accounts/account.ts";
import type { TableTrouble } from "../../src/accounts/entry_source.ts";
import type { LookupFileReport } from "../../src/accounts/lookup_file.ts";
import type { Outcome } from "../../src/delivery/delivery.ts";
import { createLog } from "../support/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { ConnectionEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import type { Refusal } from "../../src/smtp/effects.ts";
import { reply } from "../../src/smtp/reply.ts";
import type { Principal } from "../../src/submission/submission_service.ts";
import {
  connectionEvent,
  entryAccount,
  limitEvent,
  listeners,
  loginEvent,
  PRINCIPAL,
  principalOf,
  proxyHeaderEvent,
  refusedEvent,
  submissionEvent,
} from "../support/events.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { MESSAGE } from "../support/submissions.ts";

const client = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };

/** The one line that an event makes. */
function lineOf(event: RelayEvent): Record<string, unknown> {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  listeners(createLog({ level: "DEBUG", format: "json", write })).notify(event);
  assert.equal(lines.length, 1);
  const { time: _, ...line } = JSON.parse(lines[0]!) as Record<string, unknown>;
  return line;
}

describe("a login's line", () => {
  const login = (result: Principal | LoginFailure, username = USERNAME, trusted = false) =>
    lineOf(loginEvent(
      { mechanism: "PLAIN", username, password: new Secret("hunter2") },
      client,
      result,
      trusted,
    ));

  it("is DEBUG when it succeeded", () => {
    const line = login(PRINCIPAL);
    assert.deepEqual(line, {
      level: "DEBUG",
      message: "Login succeeded",
      connection: "c0ffee",
      client: "192.0.2.7",
      username: USERNAME,
      mechanism: "PLAIN",
      ms: 6,
    });
  });

  it("says so where the client is trusted and has not logged in itself", () => {
    const { trusted, mechanism, username } = login(PRINCIPAL, USERNAME, true);
    assert.deepEqual([trusted, mechanism, username], [true, undefined, USERNAME]);
  });

  for (
    const [type, code, message] of [["refused", 535, "Login refused"], [
      "later",
      454,
      "Login deferred",
    ]] as const
  ) {
    it(`is WARNING when it was ${type}, with the reason, and without the password`, () => {
      const failure = { type, reply: reply(code, "5.7.8", "No"), detail: "because" };
      const line = login({ ...failure, code: "AADSTS7000222" });
      assert.deepEqual([line["level"], line["message"]], ["WARNING", message]);
      assert.deepEqual([line["detail"], line["reply"]], ["because", code]);
      assert.equal(line["code"], "AADSTS7000222");
      assert.equal("code" in login(failure), false);
      assert(!JSON.stringify(line).includes("hunter2"));
    });
  }

  it("quotes no more than the beginning of an endless username", () => {
    const refused = { type: "refused", reply: reply(535, "5.7.8", "No"), detail: "long" } as const;
    assert.equal(String(login(refused, "x".repeat(5000))["username"]).length, 256);
  });
});

describe("a message's line", () => {
  const told = (outcome: Outcome) => lineOf(submissionEvent(outcome, client));
  const failed = { ambiguous: false, code: "ErrorX", detail: "because" };

  it("is INFO when it was sent, with the id of the reply and Graph's", () => {
    assert.deepEqual(told({ type: "sent", reply: reply(250, "2.0.0", "OK"), requestId: "r-1" }), {
      level: "INFO",
      message: "Message sent",
      id: "0123456789abcdef",
      message_id: "<1@x.test>",
      connection: "c0ffee",
      client: "192.0.2.7",
      username: USERNAME,
      tenant: TENANT,
      app: CLIENT,
      sender: "ann@x.test",
      recipients: 1,
      bytes: MESSAGE.length,
      ms: 13,
      ms_received: 3,
      attempts: 1,
      request: "r-1",
    });
  });

  it("names the mailbox that sent; what the client gave comes behind, where that is another", () => {
    const sent = { type: "sent", reply: reply(250, "2.0.0", "OK"), mailbox: "box@x.test" } as const;
    const line = told(sent);
    assert.deepEqual([line["sender"], line["mail_from"]], ["box@x.test", "ann@x.test"]);
  });

  const OTHERS: readonly (readonly [message: string, outcome: Outcome])[] = [
    ["Message refused", { ...failed, type: "refused", reply: reply(554, "5.6.0", "No") }],
    ["Message deferred", { ...failed, type: "later", reply: reply(451, "4.3.2", "Later") }],
    ["Message may have been sent", {
      ...failed,
      type: "later",
      ambiguous: true,
      reply: reply(451, "4.4.2", "Who knows"),
    }],
  ];
  for (const [message, outcome] of OTHERS) {
    it(`is WARNING and "${message}" for ${outcome.type}, with what the service said`, () => {
      const line = told(outcome);
      assert.deepEqual([line["level"], line["message"]], ["WARNING", message]);
      assert.deepEqual(
        [line["code"], line["detail"], line["reply"], line["id"]],
        ["ErrorX", "because", outcome.reply.code, "0123456789abcdef"],
      );
    });
  }
});

describe("a connection's line", () => {
  const CASES: readonly (readonly [what: string, level: string, part: Partial<ConnectionEvent>])[] =
    [
      ["that said something", "INFO", {}],
      ["that sent nothing: a port check", "DEBUG", { received: 0 }],
      ["whose TLS handshake failed", "WARNING", {
        received: 0,
        handshakeFailed: true,
        error: true,
      }],
      ["that left inside its TLS handshake", "DEBUG", { received: 0, handshakeFailed: true }],
    ];
  for (const [what, level, part] of CASES) {
    it(`is ${level} for one ${what}`, () => {
      assert.equal(lineOf(connectionEvent(client, part))["level"], level);
    });
  }
});

describe("lines of clients on the wrong port", () => {
  const WORDS = {
    tls: "TLS on a port that begins in plain text",
    plain: "Plain text on a port that begins with TLS",
    silent:
      "Nothing came on a port that begins with TLS: a client in plain text waits for a greeting",
  } as const;
  for (const [wrongPort, words] of Object.entries(WORDS)) {
    it(`are WARNING, once a minute for an address: ${words}`, () => {
      const lines: unknown[] = [];
      const write = (line: string) => {
        const { level, message } = JSON.parse(line);
        lines.push([level, message]);
      };
      let now = 0;
      const { notify } = listeners(createLog({ level: "DEBUG", format: "json", write }), () => now);
      const told = (address: string) =>
        notify(connectionEvent({ ...client, address }, {
          secure: false,
          handshakeFailed: wrongPort !== "tls",
          wrongPort: wrongPort as keyof typeof WORDS,
          received: 0,
          messages: 0,
          milliseconds: 5,
          reason: "wrong version number",
          error: wrongPort !== "tls",
        }));
      for (const address of ["192.0.2.7", "192.0.2.7", "192.0.2.8"]) told(address);
      now = 60_000;
      told("192.0.2.7");
      assert.deepEqual(lines, [
        ["WARNING", words],
        ["DEBUG", words],
        ["WARNING", words],
        ["WARNING", words],
      ]);
    });
  }
});

describe("lines of failed TLS handshakes", () => {
  it("are WARNING once a minute for a client (IPv6: its /64), else DEBUG", () => {
    const levels: unknown[] = [];
    const write = (line: string) => void levels.push(JSON.parse(line).level);
    let now = 0;
    const { notify } = listeners(createLog({ level: "DEBUG", format: "json", write }), () => now);
    const failed = (address: string) =>
      notify(connectionEvent({ ...client, address }, {
        secure: false,
        handshakeFailed: true,
        received: 0,
        messages: 0,
        milliseconds: 5,
        reason: "unsupported protocol",
        error: true,
      }));
    for (const address of ["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"]) failed(address);
    now = 60_000;
    failed("192.0.2.1");
    assert.deepEqual(levels, ["WARNING", "DEBUG", "WARNING", "DEBUG", "WARNING"]);
  });
});

describe("a bug's line", () => {
  it("is ERROR, with the stack, in one line", () => {
    const line = lineOf({ type: "connectionFault", error: new Error("oh\nno"), client });
    assert.equal(line["level"], "ERROR");
    assert.match(String(line["error"]), /oh\nno[^]*events_test/);
  });

  it("is written for anything that can be thrown", () => {
    for (const thrown of ["text", undefined, null, 7, { a: 1 }, Object.create(null)]) {
      assert.equal(lineOf({ type: "connectionFault", error: thrown, client })["level"], "ERROR");
    }
  });
});

describe("a line for what the session turned away", () => {
  const mail: Refusal = {
    command: "MAIL",
    reply: reply(552, "5.3.4", "Too big"),
    authenticated: true,
    argument: "FROM:<ann@x.test> SIZE=99 " + "x".repeat(1000),
  };

  it("is WARNING after a login, with whose it was and what the client had said", () => {
    const line = lineOf(refusedEvent(mail, client, PRINCIPAL));
    assert.deepEqual(line, {
      level: "WARNING",
      message: "Refused by the relay",
      connection: "c0ffee",
      client: "192.0.2.7",
      username: USERNAME,
      tenant: TENANT,
      app: CLIENT,
      command: "MAIL",
      argument: mail.argument!.slice(0, 256),
      detail: "Too big",
      reply: 552,
    });
  });

  it("names the sender of a message that was lost behind MAIL", () => {
    const data: Refusal = {
      command: "DATA",
      reply: reply(452, "4.3.1", "No memory"),
      authenticated: true,
      from: "ann@x.test",
    };
    const line = lineOf(refusedEvent(data, client, PRINCIPAL));
    assert.deepEqual([line["level"], line["sender"]], ["WARNING", "ann@x.test"]);
  });

  /**
   * The levels of the lines that strangers make.
   *
   * @param apart milliseconds
   */
  function levelsOf(
    addresses: readonly string[],
    code: number,
    apart = 0,
    unverified?: Principal,
  ): unknown[] {
    const levels: unknown[] = [];
    const write = (line: string) => void levels.push(JSON.parse(line).level);
    let now = 0;
    const { notify } = listeners(createLog({ level: "DEBUG", format: "json", write }), () => now);
    const refusal: Refusal = {
      command: "AUTH",
      reply: reply(code, "5.7.0", "No"),
      authenticated: unverified !== undefined,
    };
    for (const address of addresses) {
      notify(refusedEvent(refusal, { ...client, address }, unverified));
      now += apart;
    }
    return levels;
  }

  it("is WARNING once a minute for an address that has not logged in, else DEBUG", () => {
    const [a, b] = ["192.0.2.7", "192.0.2.8"] as const;
    assert.deepEqual(levelsOf([a, a, b, a], 530), ["WARNING", "DEBUG", "WARNING", "DEBUG"]);
    assert.deepEqual(levelsOf([a, a, a], 530, 40_000), ["WARNING", "DEBUG", "WARNING"]);
  });

  it("takes the /64 of an IPv6 address for one stranger, as all limits do", () => {
    assert.deepEqual(levelsOf(["2001:db8::1", "2001:db8::2"], 530), ["WARNING", "DEBUG"]);
  });

  it("takes for a stranger who has brought a token that nobody has verified", () => {
    const unverified = principalOf(PRINCIPAL.account, "token");
    const levels = levelsOf(["192.0.2.7", "192.0.2.7"], 451, 0, unverified);
    assert.deepEqual(levels, ["WARNING", "DEBUG"]);
  });

  it("is WARNING each time for a failed login", () => {
    assert.deepEqual(levelsOf(["192.0.2.7", "192.0.2.7"], 535), ["WARNING", "WARNING"]);
  });

  it("remembers no more than a thousand strangers", () => {
    const many = Array.from({ length: 1100 }, (_, i) => `2001:db8:${i}::1`);
    assert.equal(levelsOf(many, 530).filter((level) => level === "WARNING").length, 1000);
  });

  it("takes a network of IPv6, which one host has to itself, for one stranger", () => {
    const one = Array.from({ length: 20 }, (_, i) => `2001:db8::${i}`);
    assert.equal(levelsOf(one, 530).filter((level) => level === "WARNING").length, 1);
  });

  it("names the entry of the account: several devices may share an app", () => {
    const refusal: Refusal = {
      command: "MAIL",
      reply: reply(550, "5.7.1", "Sender not allowed"),
      authenticated: true,
      from: "boss@x.test",
    };
    const line = lineOf(refusedEvent(refusal, client, principalOf(entryAccount("scanner"))));
    assert.deepEqual(
      [line["message"], line["tenant"], line["app"], line["entry"]],
      ["Refused by the relay", TENANT, CLIENT, "scanner"],
    );
  });
});

describe("the lines for a limit that a crowd meets", () => {
  it("are a hundred a minute, with one that says so, and hide no other limit", () => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string) => void lines.push(JSON.parse(line));
    let now = 0;
    const { notify } = listeners(createLog({ level: "WARNING", format: "json", write }), () => now);
    const crowd = () => {
      for (let i = 0; i < 5000; i++) {
        const from = { ...client, address: `10.0.${i >> 8}.${i & 255}` };
        notify(
          limitEvent(
            "MAX_CONNECTIONS",
            from,
            "Connection closed to make room for a new one: it made no progress",
          ),
        );
      }
    };
    crowd();
    assert.equal(lines.length, 101);
    const last = lines[100]!;
    assert.match(
      String(last["message"]),
      /^Many clients hit this limit; .* counted at \/metrics$/,
    );
    assert.deepEqual([last["level"], last["setting"]], ["WARNING", "MAX_CONNECTIONS"]);
    notify(limitEvent("MESSAGE_RATE_LIMIT", client, "Message deferred", PRINCIPAL));
    assert.equal(lines[101]!["setting"], "MESSAGE_RATE_LIMIT");
    now = 60_000;
    crowd();
    assert.equal(lines.length, 203);
  });

  it("say that there are more once a minute, however the crowd comes", () => {
    const lines: string[] = [];
    let now = 0;
    const { notify } = listeners(
      createLog({ level: "WARNING", format: "text", write: (line) => void lines.push(line) }),
      () => now,
    );
    for (; now < 120_000; now += 100) {
      const from = { ...client, address: `10.0.${now >> 14}.${(now >> 6) & 255}` };
      notify(
        limitEvent(
          "MAX_CONNECTIONS",
          from,
          "Connection closed to make room for a new one: it made no progress",
        ),
      );
    }
    assert.equal(lines.filter((line) => line.includes("Many clients")).length, 2);
    assert.ok(lines.length <= 202, `${lines.length} lines`);
  });
});

describe("the line for MAX_MEMORY", () => {
  it("is WARNING, with what is in use, at most once a minute", () => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string) => void lines.push(JSON.parse(line));
    let now = 0;
    const { notify } = listeners(createLog({ level: "DEBUG", format: "json", write }), () => now);
    for (now = 0; now < 120_000; now += 10_000) notify({ type: "memory", used: 90, limit: 100 });
    assert.equal(lines.length, 2);
    assert.deepEqual([lines[0]!["level"], lines[0]!["used_bytes"], lines[0]!["limit_bytes"]], [
      "WARNING",
      90,
      100,
    ]);
  });
});

describe("events of LOOKUP_FILE", () => {
  it("have a line each, with what is wrong, and are counted", () => {
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line.trimEnd().replace(/^\S+ /, ""));
    const { notify, metrics } = listeners(
      createLog({ level: "INFO", format: "text", write }),
      () => 0,
    );
    const tell = (report: LookupFileReport, recovered = false) =>
      notify({ type: "lookupFile", report, recovered });
    const none = { count: 0, named: [] };
    const one = { count: 1, named: [{ id: "a", problem: "client_id must be a UUID" }] };
    tell({ type: "loaded", entries: 2, unusable: one });
    tell({ type: "exposed", to: "read", mode: 0o644 });
    tell({ type: "exposed", to: "write", mode: 0o666 });
    tell({ type: "kept", reason: "line 1, column 5: no", entries: 2 });
    tell({ type: "replaced", entries: 3, unusable: none }, true);
    tell({ type: "unchanged", entries: 3, unusable: one });
    assert.deepEqual(lines, [
      "INFO Lookup file loaded entries=2",
      "WARNING Lookup file has entries with mistakes, whose logins are refused entries=1 " +
      'detail="\\"a\\": client_id must be a UUID"',
      "WARNING Lookup file has passwords' hashes and can be read by every user of this machine mode=0644",
      "WARNING Lookup file can be changed by every user of this machine mode=0666",
      'WARNING Lookup file rejected, keeping the entries from before reason="line 1, column 5: no" ' +
      "entries=2",
      // Visible where the trouble was: at the default level.
      "WARNING Lookup file loaded again entries=3",
      "INFO Lookup file unchanged entries=3",
    ]);
    const count = (result: string) => metrics.value("lookup_file_loads", { result });
    assert.deepEqual([count("loaded"), count("failed")], [2, 1]);
  });
});

describe("the lookup table's lines", () => {
  const trouble: TableTrouble = {
    type: "trouble",
    code: "ECONNREFUSED",
    detail: "no table",
    gone: false,
    concerns: "table",
  };
  function open() {
    const clock = { now: 0 };
    const lines: string[] = [];
    const write = (line: string) => {
      const { level, message } = JSON.parse(line) as Record<string, string>;
      lines.push(`${level} ${message}`);
    };
    const log = createLog({ level: "WARNING", format: "json", write });
    const { notify } = listeners(log, () => clock.now);
    const fail = (served: boolean) => notify({ type: "lookupFailed", trouble, served });
    return { clock, lines, fail, recover: () => notify({ type: "lookupRecovered" }) };
  }

  it("are WARNING when entries from before serve, once a minute, with an end", () => {
    const { clock, lines, fail, recover } = open();
    for (let i = 0; i < 100; i++) fail(true);
    recover();
    const both = [
      "WARNING Lookup table does not answer; using entries that were read before",
      "WARNING Lookup table answers again",
    ];
    assert.deepEqual(lines, both);
    clock.now = 60_000;
    fail(true);
    recover();
    assert.deepEqual(lines, [...both, ...both]);
  });

  it("are no flood of ends either, when it answers and fails in turns", () => {
    for (const served of [true, false]) {
      const { clock, lines, fail, recover } = open();
      for (; clock.now < 60_000; clock.now += 100) {
        fail(served);
        recover();
      }
      const ends = lines.filter((line) => line === "WARNING Lookup table answers again");
      assert.equal(ends.length, 1);
    }
  });
});

describe("a refusal because of a PROXY header", () => {
  for (
    const [reason, message] of [
      ["missing", /no valid PROXY header from an address in PROXY_PROTOCOL_NETWORKS/],
      ["foreign", /not in PROXY_PROTOCOL_NETWORKS/],
      ["second", /a second PROXY header/],
    ] as const
  ) {
    it(`is WARNING where it is ${reason}, counted, and seldom in floods`, () => {
      const lines: Record<string, unknown>[] = [];
      const write = (line: string) => void lines.push(JSON.parse(line));
      const metrics = new Metrics();
      let now = 0;
      const log = createLog({ level: "DEBUG", format: "json", write });
      const { notify } = listeners(log, () => now, metrics);
      const tell = (address: string) =>
        notify(proxyHeaderEvent({ reason, detail: "because" }, { ...client, address }));
      tell("192.0.2.7");
      tell("192.0.2.7");
      tell("192.0.2.8");
      now = 60_000;
      tell("192.0.2.7");
      assert.deepEqual(lines.map((line) => line["level"]), [
        "WARNING",
        "DEBUG",
        "WARNING",
        "WARNING",
      ]);
      assert.match(String(lines[0]!["message"]), message);
      assert.equal(lines[0]!["client"], "192.0.2.7");
      assert.equal(lines[0]!["detail"], "because");
      assert.match(
        metrics.text(),
        new RegExp(`proxy_headers_refused_total\\{reason="${reason}"\\} 4\n`),
      );
    });
  }
});

describe("a proxied connection's line", () => {
  it("names the proxy, which no other line does", () => {
    const proxied = { ...client, proxy: "198.51.100.1" };
    const ended = lineOf(connectionEvent(proxied));
    assert.deepEqual([ended["client"], ended["proxy"]], ["192.0.2.7", "198.51.100.1"]);
  });
});

describe("what happens is counted", () => {
  const no = { reply: reply(550, "5.0.0", "No"), detail: "because" };
  const failed = { ...no, ambiguous: false, code: "ErrorX" };
  const login = (result: Principal | LoginFailure) =>
    loginEvent(
      { mechanism: "PLAIN", username: USERNAME, password: new Secret("hunter2") },
      client,
      result,
    );
  const message = (outcome: Outcome) => submissionEvent(outcome, client);
  const error = new Error("oh no");
  const CASES: readonly (readonly [counter: string, event: RelayEvent])[] = [
    ['logins_total{result="succeeded"}', login(PRINCIPAL)],
    ['logins_total{result="refused"}', login({ type: "refused", ...no })],
    ['logins_total{result="deferred"}', login({ type: "later", ...no })],
    [
      'messages_total{result="sent"}',
      message({ type: "sent", reply: reply(250, "2.0.0", "OK") }),
    ],
    [
      'messages_total{result="repeated"}',
      message({ type: "alreadySent", reply: reply(250, "2.0.0", "OK"), id: "x" }),
    ],
    ['messages_total{result="refused"}', message({ ...failed, type: "refused" })],
    ['messages_total{result="deferred"}', message({ ...failed, type: "later" })],
    ['messages_total{result="ambiguous"}', message({ ...failed, type: "later", ambiguous: true })],
    [
      'limit_hits_total{setting="MAX_MIME_PARTS"}',
      message({ ...failed, type: "refused", limit: "MAX_MIME_PARTS" }),
    ],
    [
      'refusals_total{command="MAIL",code="550"}',
      refusedEvent({ command: "MAIL", reply: no.reply, authenticated: true }, client, PRINCIPAL),
    ],
    [
      'limit_hits_total{setting="MAX_MESSAGE_SIZE"}',
      refusedEvent(
        { command: "MAIL", reply: no.reply, authenticated: true },
        client,
        PRINCIPAL,
        "MAX_MESSAGE_SIZE",
      ),
    ],
    ['limit_hits_total{setting="MAX_ERRORS"}', limitEvent("MAX_ERRORS", client, "Too many")],
    ['limit_hits_total{setting="MAX_MEMORY"}', { type: "memory", used: 90, limit: 100 }],
    ["connections_total", connectionEvent(client)],
    ["internal_errors_total", { type: "connectionFault", error, client }],
    ["internal_errors_total", { type: "fault", error }],
    ["internal_errors_total", { type: "fault", error: undefined }],
  ];
  for (const [counter, event] of CASES) {
    it(counter, () => {
      const metrics = new Metrics();
      const log = createLog({ level: "DEBUG", format: "json", write: () => {} });
      const { notify } = listeners(log, () => 0, metrics);
      for (let i = 0; i < 3; i++) notify(event);
      assert.ok(metrics.text().includes(`\nsmtp_oauth_relay_${counter} 3\n`), metrics.text());
    });
  }
});
