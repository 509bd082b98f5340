// Which tests run, in which pieces, and in which order.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, posix, relative } from "node:path";

const { dirname } = posix;

/** A test file whose name ends so takes long, or needs the machine for itself: `npm run test:long`. */
const LONG = "_long_test.ts";
const TEST = "_test.ts";

/** Their tests start programs and browsers: each file is a process, and they begin first. */
const SINGLY = ["tests/end_to_end", "tests/sandbox", "tests/commands", "tests/deploy"];

/** Next, as each of them takes long: a runtime that begins one at the end would be waited for. */
const SLOW = [
  ...["tests/security", "tests/fuzz", "tests/queue", "tests/server", "tests/status"],
  ...["tests/scripts", "tests/real"],
];

/**
 * Files and folders that try scripts of the repository, or what is deployed: nothing of that runs on either
 * runtime, or on Bun alone, so once is enough. It is then Bun.
 */
const ONCE = [
  ...[
    "tests/deploy/azure_form_test.ts",
    "tests/deploy/azure_test.ts",
    "tests/deploy/entra_test.ts",
  ],
  ...["tests/deploy/helm_test.ts", "tests/deploy/workflows_test.ts"],
  ...["tests/package", "tests/real", "tests/scripts", "tests/site"],
  // Pages in a browser: that each runtime serves them, other tests say.
  ...["tests/end_to_end/readme_page_test.ts", "tests/sandbox/inbox_page_test.ts"],
  "tests/status/page_test.ts",
];
const isOnce = (file) => ONCE.some((path) => `${file}/`.startsWith(`${path}/`));

/** What tries less in `npm test` asks this file whether it may (tests/support/thorough.ts). */
const HAS_QUICK_FORM = /\/(?:thorough|property|budget)\.ts"|\bstartable(?:It)?\(/;
/** What starts the program takes what is shipped: on Bun, the program from source is another one. */
const STARTS_PROGRAMS = /\bPROGRAMS\b/;

/**
 * @typedef {{ folder: string, files: string[] }} Piece what one process of a runtime runs
 */

/**
 * All test files of some folders, relative to `root`, by name.
 *
 * @param {string} root of the checkout
 * @param {string[]} paths files and folders; a file that is named is taken however long it runs
 * @param {boolean} long whether those that take long are meant, or the others
 * @returns {string[]}
 * @throws {Error} where a path is not there
 */
export function testFiles(root, paths, long) {
  const found = new Set();
  for (const path of paths) {
    const whole = join(root, path);
    if (!existsSync(whole)) throw new Error(`there is no ${path}`);
    if (statSync(whole).isFile()) {
      found.add(relative(root, whole));
      continue;
    }
    for (const name of readdirSync(whole, { recursive: true })) {
      if (name.endsWith(TEST) && name.endsWith(LONG) === long) {
        found.add(relative(root, join(whole, name)));
      }
    }
  }
  return [...found].map((path) => path.replaceAll("\\", "/")).sort();
}

/**
 * Those of `npm test` of which there is more to try: `npm run test:long` runs them again, thoroughly.
 *
 * @param {string} root of the checkout
 * @param {string[]} paths as `testFiles` takes them
 * @returns {{ Deno: string[], Bun: string[] }} by runtime
 */
export function filesAgain(root, paths) {
  const texts = testFiles(root, paths, false).filter((file) => !file.endsWith(LONG))
    .map((file) => ({ file, text: readFileSync(join(root, file), "utf8") }));
  const having = (...patterns) =>
    texts.filter(({ text }) => patterns.some((pattern) => pattern.test(text)))
      .map(({ file }) => file);
  return { Deno: having(HAS_QUICK_FORM), Bun: having(HAS_QUICK_FORM, STARTS_PROGRAMS) };
}

/**
 * The runtimes that a piece is run on.
 *
 * @param {Piece} piece
 * @param {string[]} runtimes all there are
 */
export function runtimesOf({ files }, runtimes) {
  return files.every(isOnce) ? runtimes.slice(-1) : runtimes;
}

/**
 * Divides files into pieces: a folder is one, so that its files share the time that a process takes to
 * start. What starts programs itself is divided further, for the pieces to end about together; and what runs
 * once is apart from what runs on both runtimes.
 *
 * @param {string[]} files
 * @returns {Piece[]} those that take longest first
 */
export function pieces(files) {
  const groups = new Map();
  for (const file of files) {
    const key = `${dirname(file)} ${isOnce(file)}`;
    groups.set(key, [...(groups.get(key) ?? []), file]);
  }
  const order = [...SINGLY, ...SLOW];
  const rank = ([file]) => {
    const place = order.findIndex((name) => `${dirname(file)}/`.startsWith(`${name}/`));
    return place < 0 ? order.length : place;
  };
  return [...groups.values()]
    .sort((a, b) => rank(a) - rank(b) || b.length - a.length)
    .flatMap((group) => rank(group) < SINGLY.length ? group.map((file) => [file]) : [group])
    .map((files) => ({ folder: dirname(files[0]), files }));
}
