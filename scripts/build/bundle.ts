// The program as JavaScript, and as an executable: how Bun's bundler and compiler are called
// (https://bun.sh/docs/bundler/executables).

import { LEFT_OUT } from "./left_out.ts";
import type { Target } from "./targets.ts";

// The part of Bun's API that is used here; why not Bun's own types: see src/runtime/bun.ts.
interface Bundler {
  build(options: Record<string, unknown>): Promise<{
    readonly outputs: readonly { text(): Promise<string> }[];
    readonly metafile: Metafile;
  }>;
}
interface Metafile {
  readonly outputs: Readonly<
    Record<
      string,
      { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }
    >
  >;
}
interface PluginBuilder {
  onLoad(
    filter: { readonly filter: RegExp },
    load: () => { readonly contents: string; readonly loader: "js" },
  ): void;
}

export interface Bundle {
  readonly text: string;
  /** Octets that each file has in the bundle, by its path from the root; what is left out, is not. */
  readonly files: ReadonlyMap<string, number>;
}

/** What `build` puts into the program: see src/commands/version.ts. */
export interface Facts {
  readonly commit: string;
  readonly notices: string;
}

/**
 * The bundle alone, for inspection.
 *
 * @param root the project's directory, with its slash
 * @throws Error if the bundle shows where it was made, has an `import()` that may fail, or something to
 *   be left out is not there
 */
export async function bundle(root: string): Promise<Bundle> {
  const leftOut = new Set<RegExp>();
  const { outputs, metafile } = await bundler().build(
    options(root, { commit: "", notices: "" }, (file) => leftOut.add(file)),
  );
  const text = (await Promise.all(outputs.map((output) => output.text()))).join("\n");
  const place = text.indexOf(root);
  if (place >= 0) {
    throw new Error(`the bundle names the directory that it is made in: ${around(text, place)}`);
  }
  const mixedUp = LATE_COMMONJS.exec(text);
  if (mixedUp !== null) {
    throw new Error(`import() names a CommonJS module: ${around(text, mixedUp.index)}`);
  }
  for (const { file } of LEFT_OUT) {
    if (!leftOut.has(file)) throw new Error(`nothing is there to be left out: ${file}`);
  }
  const files = new Map<string, number>();
  for (const { inputs } of Object.values(metafile.outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
      if (bytesInOutput === 0 || LEFT_OUT.some((part) => part.file.test(`/${file}`))) continue;
      files.set(file, (files.get(file) ?? 0) + bytesInOutput);
    }
  }
  return { text, files };
}

/**
 * Compiles to bytecode and makes an executable. The compiler writes the file's name into it: give
 * it the same one for the same octets.
 *
 * @param target with its runtime; left out, this machine and the runtime that runs this
 */
export async function compile(
  root: string,
  facts: Facts,
  outfile: string,
  target?: { readonly target: Target; readonly runtime: string },
): Promise<void> {
  await bundler().build({
    ...options(root, facts, () => {}),
    // Without bytecode the start takes three times as long; with it, the file is 8 MB larger.
    bytecode: true,
    compile: {
      outfile,
      // Settings come from the environment and --env-file alone, whatever lies in the directory.
      autoloadDotenv: false,
      autoloadBunfig: false,
      ...(target && { target: target.target.bun, executablePath: target.runtime }),
    },
  });
}

/**
 * What runs in threads of its own is an entry too, or it would not be in the executable. In there its
 * place is the one that it has here, but for the suffix; the program's own is at the top.
 */
const QUEUE_WORKER = "src/queue/sqlite/worker";

/**
 * What Bun 1.4.5 makes of `import()` of a CommonJS module: `import("…").then((m)=>helper(m.default,1))`.
 * It shortens the helper's name without regard to `m`. Where that is the helper's name too, the import ends
 * in "m is not a function". A module of our own that imports the CommonJS module is not affected.
 */
const LATE_COMMONJS = /import\("[^"]*"\)\.then\(\(m\)=>[\w$]+\(m\.default\b/;

function options(root: string, { commit, notices }: Facts, onLeftOut: (file: RegExp) => void) {
  return {
    entrypoints: [`${root}src/main.ts`, `${root}${QUEUE_WORKER}.ts`],
    root,
    target: "bun",
    format: "esm",
    // In parts, of which a process reads those that it needs: 8 MB less at rest than in one piece.
    splitting: true,
    minify: true,
    metafile: true,
    define: {
      RELAY_BUILD_COMMIT: JSON.stringify(commit),
      RELAY_BUILD_NOTICES: JSON.stringify(notices),
      RELAY_BUILD_QUEUE_WORKER: JSON.stringify(`./${QUEUE_WORKER}.js`),
    },
    plugins: [{
      name: "left out",
      setup(builder: PluginBuilder) {
        for (const { file, contents } of LEFT_OUT) {
          builder.onLoad({ filter: file }, () => {
            onLeftOut(file);
            return { contents, loader: "js" };
          });
        }
      },
    }],
  };
}

function bundler(): Bundler {
  return (globalThis as unknown as { Bun: Bundler }).Bun;
}

function around(text: string, place: number): string {
  return text.slice(place, place + 100).split("\n")[0]!;
}
