// Puts the calls that `coverage.ts` listens to into the code under test.
//
// The plugins that find its branches and comparisons are Jazzer.js's. Its own loop, libFuzzer, is a
// native library that needs a newer glibc than some systems have (2.38) and runs on Node alone; with
// the plugins by themselves, the same fuzzing is done on the runtimes that the relay runs on.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));

export interface Instrumented {
  /** A module with `TARGETS`, and in it all that they import of ours. */
  readonly path: string;
  /** How many branches it has. */
  readonly branches: number;
  remove(): void;
}

/** Bundles and instruments the targets; packages stay outside. */
export function instrument(): Instrumented {
  // Packages are looked for from here upwards.
  const folder = join(root, "dist", `fuzz-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "targets.mjs");
  execFileSync(join(root, "node_modules", ".bin", "bun"), [
    "build",
    "--target=node",
    "--format=esm",
    "--packages=external",
    `--outfile=${path}`,
    join(root, "tests/fuzz/targets.ts"),
  ], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  const { code, branches } = withCalls(readFileSync(path, "utf8"));
  writeFileSync(path, code);
  return { path, branches, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

interface Babel {
  transformSync(code: string, options: object): { readonly code: string };
}

function withCalls(source: string): { code: string; branches: number } {
  // They are Jazzer.js's packages and not ours: found from where it is.
  const core = createRequire(import.meta.url).resolve("@jazzer.js/core");
  const instrumentor = dirname(createRequire(core).resolve("@jazzer.js/instrumentor/package.json"));
  const load = createRequire(join(instrumentor, "package.json"));
  const { transformSync } = load("@babel/core") as Babel;
  const { codeCoverage } = load("./dist/plugins/codeCoverage.js") as {
    codeCoverage(ids: { nextEdgeId(): number }): unknown;
  };
  const { compareHooks } = load("./dist/plugins/compareHooks.js") as { compareHooks: unknown };
  let branches = 0;
  const { code } = transformSync(source, {
    babelrc: false,
    configFile: false,
    compact: false,
    plugins: [codeCoverage({ nextEdgeId: () => branches++ }), compareHooks],
  });
  return { code, branches };
}
