// When the program does not run: it sends real mail, and must never do so by accident.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { SOURCE } from "../end_to_end/programs.ts";
import { main, type World } from "./main.ts";
import { Reach } from "./reach.ts";
import { readSettings } from "./settings.ts";
import { real, ROOT, settingsFile, withImitation } from "./trial.ts";

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

  it("to send what it could not look at: an app that cannot read the mailboxes", () =>
    withImitation({}, async ({ settings, inbox }) => {
      const app = settings.powerlessApp!;
      const { status, printed, markdown } = await real({ ...settings, app }, ["--send-real-mail"]);
      assert.equal(status, 1);
      assert.match(printed, /real: the mailbox cannot be read: 403 ErrorAccessDenied$/);
      assert.equal(markdown, "");
      assert.deepEqual(inbox.list(), []);
    }));

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
  const local = { authority: "http://127.0.0.1:1", graph: "http://127.0.0.1:1" };
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
        "an imitation beside a real storage account",
        {
          imitation: { ...local, smarthost: local.graph },
          azure: { queue: "azure-storage:https://account.queue.core.windows.net" },
        },
        /loopback/,
      ],
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

describe("the door of an imitation", () => {
  it("does not lead off the loopback", async () => {
    const reach = new Reach(true);
    for (const host of ["graph.microsoft.com", "10.0.0.1", "127.0.0.1.example.com"]) {
      await assert.rejects(reach.ask(`https://${host}/`), /not on the loopback/);
    }
    reach.close();
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
