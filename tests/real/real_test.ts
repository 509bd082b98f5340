// The program that tries a real tenant, itself tried against an imitation of one on the loopback.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { selfSignedClientCertificate } from "../../src/certificates/self_signed.ts";
import { SOURCE } from "../end_to_end/programs.ts";
import { admin, type Azurite, CONNECTION_STRING, startAzurite } from "../support/azurite.ts";
import { type AzuriteStorage, startAzuriteStorage } from "../support/azurite_storage.ts";
import { startProxy } from "../support/proxy.ts";
import { Bench } from "./bench.ts";
import { CASES } from "./cases/all.ts";
import { FACTS } from "./facts.ts";
import { BCC, type ImitatedTenant, type Oddities, startImitation } from "./imitation.ts";
import { main, MOST_MESSAGES, USAGE, type World } from "./main.ts";
import { announced } from "./matrix.ts";
import { Reach } from "./reach.ts";
import { redactor } from "./redact.ts";
import { KEYS, readSettings, type RealSettings } from "./settings.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "relay-real-test-"));
after(() => rmSync(folder, { recursive: true }));

function settingsFile(settings: object, mode = 0o600): string {
  const path = join(folder, `${Math.random()}.json`);
  writeFileSync(path, JSON.stringify(settings), { mode });
  return path;
}

interface Run {
  readonly status: number;
  readonly printed: string;
  readonly markdown: string;
  /** The report as JSON: answers by fact and by case. */
  readonly facts: ReadonlyMap<string, { answer: string; text: string }>;
  readonly cases: ReadonlyMap<string, { answer: string; text: string }>;
}

async function real(
  settings: object,
  args: readonly string[],
  world: Partial<World> = {},
): Promise<Run> {
  const report = join(folder, `report-${Math.random()}`);
  const lines: string[] = [];
  const status = await main(
    ["--settings", settingsFile(settings), "--report", report, ...args],
    { environment: {}, print: (line) => void lines.push(line), ...world },
  );
  const has = existsSync(`${report}.json`);
  const json = has ? JSON.parse(readFileSync(`${report}.json`, "utf8")) : { facts: [], cases: [] };
  const byId = (rows: { id: string; answer: string; text: string }[]) =>
    new Map(rows.map((row) => [row.id, row]));
  return {
    status,
    printed: lines.join("\n"),
    markdown: has ? readFileSync(`${report}.md`, "utf8") : "",
    facts: byId(json.facts),
    cases: byId(json.cases),
  };
}

async function withImitation<Value>(
  oddities: Oddities,
  use: (tenant: ImitatedTenant) => Promise<Value>,
): Promise<Value> {
  const tenant = await startImitation(oddities);
  try {
    return await use(tenant);
  } finally {
    await tenant.close();
  }
}

describe("npm run real, against an imitation", () => {
  let storage: AzuriteStorage;
  let table: Azurite;
  let run: Run;
  let settings: RealSettings;
  const strangers: string[] = [];
  const left: string[] = [];

  before(async () => {
    [storage, table] = await Promise.all([startAzuriteStorage(), startAzurite()]);
    const users = admin(table, "users");
    await users.client.createTable();
    users.close();
    const { blobs, queues } = storage.endpoints;
    // What leaves this machine would come by here: the relays know no other way to another host.
    const proxy = await startProxy({ route: () => undefined });
    await withImitation({}, async (tenant) => {
      settings = {
        ...tenant.settings,
        azure: {
          identity: "EnvironmentCredential",
          queue: "azure-storage:",
          queueConnectionString:
            `${CONNECTION_STRING};BlobEndpoint=${blobs.href};QueueEndpoint=${queues.href}`,
          table: table.url("users"),
          tableConnectionString: CONNECTION_STRING,
        },
      };
      const variables = { HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url };
      run = await real(settings, ["--send-real-mail"], { variables });
      const bench = new Bench(settings, { run: "after" });
      for (const role of ["sender", "second", "shared"] as const) {
        const filter = "contains(subject,'Relay test ')";
        const messages = await bench.mailboxes.list(bench.address(role), filter);
        left.push(...messages.map(({ id }) => `${role}: ${id}`));
      }
      await bench.close();
    });
    strangers.push(...proxy.requests);
    await proxy.close();
  });
  after(() => Promise.all([storage.stop(), table.stop()]));

  it("ends well", () => assert.equal(run.status, 0, run.printed));

  for (const { id, needs } of CASES) {
    // An imitation is of the public cloud.
    if (needs.includes("otherCloud")) continue;
    it(`runs ${id}`, () => {
      const { answer, text } = run.cases.get(id)!;
      assert.notEqual(answer, "notRun", text);
      // The imitation knows a message's trace at once; and this machine may be slow.
      const isOdd = id === "found.trace" || id === "storage.queue";
      if (!isOdd) assert.notEqual(answer, "refuted", text);
    });
  }

  it("answers every fact, in both forms of the report", () => {
    assert.deepEqual([...run.facts.keys()], FACTS.map(({ id }) => id));
    for (const { id, beyond } of FACTS) {
      assert.match(run.markdown, new RegExp(`^\\| \`${id.replaceAll(".", "\\.")}\` `, "m"));
      const { answer, text } = run.facts.get(id)!;
      const isRun = beyond === undefined && id !== "exchange.clouds";
      assert.equal(answer !== "notRun", isRun, `${id}: ${text}`);
      assert.notEqual(text, "");
    }
    assert.equal(run.facts.get("message-id.kept")!.answer, "confirmed");
    assert.match(run.facts.get("size.limit")!.text, /sizes\.request-4194304: 202/);
    assert.match(run.markdown, /Against an imitation: this says nothing of a tenant/);
  });

  it("shows no address, id or secret in what it prints of answers and in the report", () => {
    const report = `${run.markdown}${JSON.stringify([...run.cases.values()])}`;
    for (const address of Object.values(settings.mailboxes)) {
      assert.ok(!report.includes(address!), address);
    }
    const { tenant, app } = settings;
    for (const word of [tenant, app.clientId, "S3cret", "inside.example"]) {
      assert.ok(!report.includes(word), word);
    }
    assert.doesNotMatch(report, /eyJ|authtoken=[^S]|AAMk/);
  });

  it("deletes the messages of the run", () => {
    assert.deepEqual(left, []);
    assert.match(run.markdown, /\d\d messages of this run were deleted/);
  });

  it("reaches the loopback alone", () => assert.deepEqual(strangers, []));

  it("says before it sends how many messages go to whom", () => {
    const plan = run.printed.slice(0, run.printed.indexOf("tokens."));
    assert.match(plan, /^ +\d+ to second@inside\.example \(second\)$/m);
    assert.match(plan, /^ +4 to owner@elsewhere\.example \(external\)$/m);
  });
});

describe("npm run real, with a certificate", () => {
  it("logs in with it, as the relay does", async () => {
    const { certificate, privateKey } = await selfSignedClientCertificate();
    writeFileSync(join(folder, "cert.pem"), certificate);
    writeFileSync(join(folder, "key.pem"), privateKey, { mode: 0o600 });
    await withImitation({ certificate }, async ({ settings }) => {
      const { clientId } = settings.app;
      // Paths are those from the settings file.
      const app = { clientId, certificate: "cert.pem", key: "key.pem" };
      const { cases, markdown } = await real({ ...settings, app }, [
        "--send-real-mail",
        ...["--only", "senders.mailbox", "--only", "tokens.roles", "--only", "found.check"],
      ]);
      for (const [id, { answer, text }] of cases) {
        assert.equal(answer, "confirmed", `${id}: ${text}`);
      }
      assert.equal(cases.size, 3);
      assert.ok(!markdown.includes(clientId));
    });
  });
});

describe("npm run real refuses", () => {
  const refuses = (args: readonly string[], environment: World["environment"], why: RegExp) =>
    withImitation({}, async ({ settings, seen, inbox }) => {
      const { status, printed, markdown } = await real(settings, args, { environment });
      assert.equal(status, 2);
      assert.match(printed, why);
      assert.equal(markdown, "");
      assert.deepEqual([seen, inbox.list()], [[], []]);
    });

  it("without the confirmation, after it has said what it would send", () =>
    refuses([], {}, /to second@inside\.example[^]*nothing was sent: add --send-real-mail/));

  for (const name of ["CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "JENKINS_URL"]) {
    it(`in CI, by ${name}`, () =>
      refuses(["--send-real-mail"], { [name]: "true" }, /does not run in CI/));
  }

  it("an option that it does not know", () =>
    refuses(["--send-real-mails"], {}, /--send-real-mails/));

  it("cases that do not exist", () =>
    refuses(["--send-real-mail", "--only", "nothing"], {}, /no case has an id/));

  it("without settings", async () => {
    const lines: string[] = [];
    const print = (line: string) => void lines.push(line);
    assert.equal(await main(["--send-real-mail"], { environment: {}, print }), 2);
    assert.deepEqual(lines, ["real: --settings is missing"]);
  });

  const good = {
    tenant: "11111111-2222-4333-8444-555555555555",
    app: { clientId: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", secret: "s" },
    mailboxes: {
      sender: "a@x.test",
      second: "b@x.test",
      outside: "c@x.test",
      external: "d@y.test",
    },
  };
  for (
    const [what, changed, why] of [
      ["a tenant that is no id", { tenant: "x.test" }, /tenant must be/],
      ["an app without a credential", { app: { clientId: good.app.clientId } }, /app must have/],
      ["a mailbox twice", { mailboxes: { ...good.mailboxes, second: "A@x.test" } }, /different/],
      [
        "an external one of its own",
        { mailboxes: { ...good.mailboxes, external: "d@x.test" } },
        /own/,
      ],
      ["a misspelled setting", { patience: 3 }, /no "patience"/],
      [
        "an imitation elsewhere",
        { imitation: { authority: "https://login.example", graph: "", smarthost: "" } },
        /loopback/,
      ],
    ] as const
  ) {
    it(`settings with ${what}`, () =>
      assert.throws(() => readSettings(settingsFile({ ...good, ...changed })), why));
  }

  it("settings that others can read", () => {
    assert.throws(() => readSettings(settingsFile(good, 0o644)), /chmod 600/);
    assert.doesNotThrow(() => readSettings(settingsFile(good)));
  });
});

describe("npm run real says refuted", () => {
  it("where Bcc is shown to recipients, the Message-ID replaced and the Date changed", async () => {
    const deliver: Oddities["deliver"] = (raw) =>
      Buffer.from(
        raw.toString("latin1")
          .replace(BCC, "")
          .replace(/^Message-ID: .*$/im, "Message-ID: <new@exchange.example>")
          .replace(/^Date: .*$/im, "Date: Tue, 03 Nov 2026 00:00:00 +0000")
          .replace(/^Subject: /im, "Bcc: sender@inside.example\r\nSubject: "),
        "latin1",
      );
    await withImitation({ deliver }, async ({ settings }) => {
      const { facts } = await real(settings, ["--send-real-mail", "--only", "headers."]);
      for (const id of ["bcc.removed", "message-id.kept", "date.kept"]) {
        assert.equal(facts.get(id)?.answer, "refuted", id);
      }
      assert.match(facts.get("bcc.removed")!.text, /names the hidden recipient/);
      assert.equal(facts.get("content.signed")!.answer, "notRun");
    });
  });

  it("of nothing that it could not look at", () =>
    withImitation({}, async ({ settings }) => {
      const app = settings.powerlessApp!;
      const only = ["content.", "headers.", "sizes.request", "files.", "uploads.", "throttling."];
      const { facts, cases } = await real({ ...settings, app }, [
        "--send-real-mail",
        ...only.flatMap((prefix) => ["--only", prefix]),
      ]);
      for (const [id, { answer, text }] of [...facts, ...cases]) {
        assert.equal(answer, "notRun", `${id}: ${text}`);
      }
      assert.match(facts.get("size.default")!.text, /nothing to see: 403 ErrorAccessDenied/);
    }));

  it("where another cloud's server does not take its token", () =>
    withImitation({}, async ({ settings }) => {
      const { facts } = await real({ ...settings, cloud: "usgov" }, [
        "--send-real-mail",
        ...["--only", "exchange.other-cloud"],
      ]);
      assert.equal(facts.get("exchange.clouds")!.answer, "refuted");
    }));
});

describe("the matrix", () => {
  it("has a case for each fact that a tenant can answer, and no other facts", () => {
    const asked = new Set(CASES.map(({ fact }) => fact).filter((fact) => fact !== undefined));
    const answerable = FACTS.filter(({ beyond }) => beyond === undefined).map(({ id }) => id);
    assert.deepEqual([...asked].sort(), answerable.sort());
  });

  it("names each case and each fact once", () => {
    for (const ids of [CASES.map(({ id }) => id), FACTS.map(({ id }) => id)]) {
      assert.equal(new Set(ids).size, ids.length);
    }
  });

  it("sends no more than it may, and little to the outside", () => {
    const sum = announced(CASES);
    assert.ok([...sum.values()].reduce((a, b) => a + b) <= MOST_MESSAGES);
    assert.ok(sum.get("external")! <= 5);
    assert.equal(sum.get("outside"), undefined);
  });

  for (const { id, section } of FACTS) {
    it(`names a section that exists: ${id}`, () => {
      const [page, anchor] = section.split("#");
      const text = readFileSync(join(ROOT, page!), "utf8");
      const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
        heading!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
      );
      assert.ok(anchors.includes(anchor!), section);
    });
  }

  it("keeps a case to what it has announced", () =>
    withImitation({}, async ({ settings }) => {
      const bench = new Bench(settings, { run: "meter" });
      const sends = { second: 1 };
      bench.spend(sends, "second");
      assert.throws(() => bench.spend(sends, "second"), /announced fewer/);
      assert.throws(() => bench.spend(sends, "external"), /announced fewer/);
      await bench.close();
    }));
});

describe("the door of an imitation", () => {
  it("does not lead off the loopback", async () => {
    const reach = new Reach(true);
    for (const host of ["graph.microsoft.com", "10.0.0.1", "127.0.0.1.example.com"]) {
      await assert.rejects(reach.ask(`https://${host}/`), /not on the loopback/);
    }
    reach.close();
  });
});

describe("the report's redaction", () => {
  const settings = {
    tenant: "11111111-2222-4333-8444-555555555555",
    app: { clientId: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", secret: "the.(secret)" },
    mailboxes: {
      sender: "a@x.test",
      second: "b@x.test",
      outside: "c@x.test",
      external: "d@y.test",
    },
  };
  for (
    const [text, shown] of [
      ["from A@X.test to d@y.test", "from SENDER to EXTERNAL"],
      ["x.test, someone@x.test", "DOMAIN, SOMEBODY"],
      ["tenant 11111111-2222-4333-8444-555555555555", "tenant TENANT"],
      ["request 99999999-2222-4333-8444-555555555555", "request UUID"],
      ["password the.(secret)!", "password SECRET!"],
      ["Bearer eyJhbGciOiJub25lIn0.eyJhIjoxfQ.c2ln", "Bearer TOKEN"],
      ["https://h.example/u?authtoken=abc.def&x=1", "https://h.example/u?authtoken=SECRET&x=1"],
      ["/messages/AAMkAGI2TG93AAAabcdefgh_-w==", "/messages/ID"],
      [
        "535 5.7.3 no [AM0PR01CA0001.eurprd01.prod.exchangelabs.com 2026]",
        "535 5.7.3 no [SERVER 2026]",
      ],
      ["client 203.0.113.7, not 5.7.60", "client ADDRESS, not 5.7.60"],
    ] as const
  ) {
    it(`makes "${shown}"`, () => assert.equal(redactor(settings)(text), shown));
  }
});

describe("the page", () => {
  const page = readFileSync(join(ROOT, "tests/real/README.md"), "utf8").replace(/\s+/g, " ");
  const sum = announced(CASES);

  it("says how many messages are sent at most", () => {
    const all = [...sum.values()].reduce((one, other) => one + other);
    const [second, sender, external] = (["second", "sender", "external"] as const).map((role) =>
      sum.get(role)
    );
    const text = `**${all} messages at most**: ${second} to the second mailbox, ${sender} to the ` +
      `sender itself, ${external} to the address outside`;
    assert.ok(page.includes(text), text);
    assert.ok(page.includes(`stops at ${MOST_MESSAGES} `));
  });

  it("has every setting", () => {
    for (const name of KEYS) {
      if (name !== "imitation") assert.match(page, new RegExp(`[\`"]${name}[\`".]`), name);
    }
  });

  it("has every option", () => {
    for (const [option] of USAGE.matchAll(/--[a-z-]+(?= {2}| [A-Z]+ {2})/g)) {
      assert.ok(page.includes(option), option);
    }
  });
});

/** No PowerShell is at hand: only their text is examined. */
describe("set_up.ps1 and tear_down.ps1, as texts", () => {
  const scripts = ["set_up.ps1", "tear_down.ps1"].map((name) =>
    readFileSync(join(ROOT, "tests/real", name), "utf8")
  );
  const [setUp, tearDown] = scripts as [string, string];

  it("explain every parameter, and say that they have not been run", () => {
    for (const script of scripts) {
      const [, parameters = ""] = /\nparam\(\n([\s\S]*?)\n\)\n/.exec(script) ?? [];
      const names = [...parameters.matchAll(/^ {2}\[[a-z]+\] \$(\w+)/gm)].map(([, name]) => name);
      assert.ok(names.length >= 2);
      for (const name of names) assert.match(script, new RegExp(`^\\.PARAMETER ${name}$`, "m"));
      assert.match(
        script.replace(/\s+/g, " "),
        /not been run, neither against a tenant nor at all/,
      );
    }
  });

  it("make and remove the same", () => {
    for (const text of ["$Name = 'SMTP relay test'", "$SettingsFile = 'real.json'"]) {
      for (const script of scripts) assert.ok(script.includes(text), text);
    }
    assert.ok(setUp.includes('"$Name SMTP.SendAsApp"'));
    assert.ok(tearDown.includes("'Mail.Send', 'Mail.ReadWrite', 'SMTP.SendAsApp'"));
  });

  it("write settings that the program knows", () => {
    const written = [...setUp.matchAll(/^ {2}(\w+) = |\$settings\['(\w+)'\]/gm)]
      .map(([, one, other]) => one ?? other!).filter((name) => name !== "sender");
    assert.ok(written.length >= 5, String(written));
    for (const name of written) assert.ok(KEYS.includes(name), name);
  });
});

describe("package.json", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

  it("runs a program that refuses by itself in CI", () => {
    const [command = "", ...args] = SOURCE.command.slice(0, -1);
    const program = join(ROOT, "tests/real/run.ts");
    const { status, stdout } = spawnSync(command, [...args, program, "--send-real-mail"], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"], CI: "true", DENO_NO_UPDATE_CHECK: "1" },
    });
    assert.equal(stdout, "real: this sends real mail, and does not run in CI\n");
    assert.equal(status, 2);
  });

  it("runs it by a command of its own alone", () => {
    assert.equal(scripts.real, "node scripts/run.mjs bun tests/real/run.ts");
    for (const [name, command] of Object.entries(scripts)) {
      if (name !== "real") assert.doesNotMatch(String(command), /tests\/real/, name);
    }
  });
});
