/**
 * What an administrator types and reads, on the pages and from the program: outputs that a page shows,
 * options, and sentences about numbers and names.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { finding } from "../../src/check/finding.ts";
import { terminalText } from "../../src/check/report.ts";
import { COUNTERS, PREFIX } from "../../src/observe/metrics.ts";
import { SETTINGS } from "../../src/settings/schema.ts";
import { CONFIGURATION } from "../../src/systemd/install.ts";
import { SERVICE, SOCKETS, UNITS } from "../../src/systemd/units.ts";
import { PROGRAMS, root, run } from "../end_to_end/programs.ts";

const [program] = PROGRAMS;

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

const PAGES = [
  "README.md",
  "deploy/systemd/README.md",
  ...readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** The block after `<!-- example: NAME -->`, without a line that is typed. */
function example(page: string, name: string): string[] {
  const block = new RegExp(`<!-- example: ${name} -->\\s+\`\`\`[a-z]*\\n([^]*?)\`\`\``).exec(
    read(page),
  );
  assert.ok(block !== null, `${page} has no example of ${name}`);
  return block[1]!.split("\n").map((line) => line.replace(/^ {2}(?=\S)/, "").trimEnd())
    .filter((line) => line !== "" && !line.startsWith("$ "));
}

async function ends(args: readonly string[], environment: Record<string, string> = {}) {
  const running = run(program!, args, environment);
  const status = await running.exited;
  const lines = (text: string) => text.split("\n").filter((line) => line !== "");
  return { status, stdout: lines(running.stdout), stderr: lines(running.stderr) };
}

describe("what the pages show of the program", () => {
  it("is the program's for bad settings (settings.md)", async () => {
    const bad = { SMTP_LISTEN: "25", LOG_LEVEL: "WARN", TLS_SOURC: "off" };
    const { status, stderr } = await ends([], bad);
    assert.equal(status, 78);
    assert.deepEqual(example("docs/settings.md", "bad settings"), stderr);
  });

  it("is the program's for a wrong command line (troubleshooting.md)", async () => {
    const page = read("docs/troubleshooting.md");
    for (const args of [["--enf-file", "x"], ["serve", "--enf-file", "x"], ["serv"]]) {
      const { status, stderr: [line = ""] } = await ends(args);
      assert.equal(status, 2);
      assert.ok(page.includes(`\`${line.replace("smtp-oauth-relay: ", "")}\``), line);
    }
  });

  it("is the report on a terminal (check.md)", () => {
    const what = "SMTP_LISTEN [::]:8025: the port is in use by another program";
    const text = terminalText(finding("ports.taken", what), { width: 67, colours: false });
    assert.deepEqual(
      example("docs/check.md", "a terminal"),
      text.split("\n").map((line) => line.trimEnd()).map((line) => line.replace(/^ {2}(?=\S)/, "")),
    );
  });

  it("is the program's for an installed service (check.md)", async () => {
    const directory = mkdtempSync(join(tmpdir(), "relay-docs-"));
    // As it is installed, but for the directory; the executable is not there.
    const text = SERVICE.text.replaceAll(CONFIGURATION, directory)
      .replace("/usr/local/bin/smtp-oauth-relay serve", "/bin/true serve");
    writeFileSync(join(directory, SERVICE.name), text);
    writeFileSync(join(directory, "environment"), "export LOG_LEVEL=INFO\n");
    const { status, stdout } = await ends(["check", "--service", join(directory, SERVICE.name)]);
    rmSync(directory, { recursive: true });
    assert.equal(status, 1);
    const shown = stdout.map((line) =>
      line.replaceAll(join(directory, SERVICE.name), `/etc/systemd/system/${SERVICE.name}`)
        .replaceAll(directory, CONFIGURATION)
    ).filter((line) => !line.includes("[service.not-root]"));
    const said = example("docs/check.md", "a service");
    assert.deepEqual(shown.slice(0, said.length), said);
  });
});

describe("options", () => {
  it("of check are those of its page, and those of its help", async () => {
    const { stdout } = await ends(["check", "--help"]);
    const help = stdout.flatMap((line) => /^ {2}(?:-\w, )?(--[a-z-]+)/.exec(line)?.[1] ?? [])
      .filter((name) => name !== "--help");
    const page = [...read("docs/check.md").matchAll(/^\| `(--[a-z-]+)/gm)].map(([, name]) => name!);
    assert.deepEqual([...help].sort(), [...page].sort());
  });
});

describe("the units", () => {
  it("are all on their page, and in what install-service prints", async () => {
    const page = read("deploy/systemd/README.md");
    const { stdout } = await ends(["install-service", "--print", "--socket-activation"]);
    for (const { name, text } of [...UNITS, ...SOCKETS]) {
      assert.ok(stdout.includes(`# /etc/systemd/system/${name}`), name);
      if (text.includes("[Install]")) assert.ok(page.includes(name), name);
    }
    // What the page promises of a renewal is what the unit does.
    assert.match(SERVICE.text, /^ExecReload=-\+install .*\nExecReload=|^ExecReload=-\+install/m);
    assert.match(page, /loads a renewed certificate without a restart/);
  });
});

/** @param where the pages that do not say it any more */
function nowhere(words: RegExp, pages: readonly string[] = PAGES): void {
  for (const page of pages) {
    // A line may end anywhere in a sentence.
    const found = words.exec(read(page).replace(/\s+/g, " "));
    assert.equal(found?.[0], undefined, page);
  }
}

function says(page: string, words: string): void {
  assert.ok(read(page).replace(/\s+/g, " ").includes(words), `${page}: ${words}`);
}

describe("sentences", () => {
  it("name metrics by their whole names", () => {
    for (const name of Object.keys(COUNTERS)) {
      nowhere(new RegExp(`(?<!${PREFIX})\\b${name}_total\\b`));
    }
    nowhere(/`(?:limit_hits|internal_errors)\b/);
    says(
      "docs/operations.md",
      "Each counter starts at 0 with the process, and is there from the start",
    );
  });

  it("agree on when a new certificate counts, also for the installed unit", () => {
    nowhere(
      /certificate[^.]* (?:within|takes the|is) ten seconds|a renewal needs a restart(?! as)/,
    );
    says("docs/certificates.md", "a new certificate counts within a minute");
    says("docs/windows.md", "The relay loads a new certificate within a minute");
    says("docs/settings.md", "The relay loads a renewed certificate within a minute");
    says(
      "deploy/systemd/README.md",
      "loads a renewed certificate without a restart, once both files have been replaced",
    );
  });

  it("agree on how long credentials are known that have worked", () => {
    says("docs/logins.md", "never refused by it,** at any address, for 25 hours");
    says("docs/settings.md", "have worked within the last 25 hours are never refused");
    assert.match(read("src/limits/login_guard.ts"), /KNOWN_FOR = 25 \* 3_600_000/);
    nowhere(/within the last day|24 hours/);
  });

  it("give the largest message of our own in MiB, as it is; 35 MB is Exchange's", () => {
    nowhere(/35 MB by default, 10 MB|35 MB by default\. Over|up to 35 MB,/);
    says("docs/features.md", "up to 35 MiB, 150 MiB if you like");
    assert.equal(SETTINGS.MAX_MESSAGE_SIZE.standard, String(35 * 1024 ** 2));
  });

  it("say nothing of limits and settings that is not so", () => {
    nowhere(/no limit on failed logins|a status page\. Settings for these/);
    // The account that a service runs as writes its log.
    says("docs/windows.md", "the service can write `logs` and `queue`");
  });
});
