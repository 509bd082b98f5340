// What a runtime has to say of its tests: numbers from its JUnit file, words from its output.

/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts
 */

/** XML's own five; names are all that is read here. */
const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
const unescape = (text) => text.replace(/&(lt|gt|amp|quot|apos);/g, (_, name) => ENTITIES[name]);

/**
 * Counts the tests in a JUnit file.
 *
 * @param {string} xml empty where the process has died before
 * @returns {Counts}
 */
export function counts(xml) {
  const cases = [...xml.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([^]*?)<\/testcase>)/g)]
    .map(([, name, inside = ""]) => ({ name: unescape(name), inside }));
  // Deno tells of a `describe` as of a test: one that others begin with is none.
  const groups = new Set();
  for (const { name } of cases) {
    for (let end = name.indexOf(" > "); end >= 0; end = name.indexOf(" > ", end + 1)) {
      groups.add(name.slice(0, end));
    }
  }
  const tests = cases.filter(({ name }) => !groups.has(name));
  const having = (tag) => tests.filter(({ inside }) => inside.includes(`<${tag}`)).length;
  const failed = having("failure");
  const skipped = having("skipped");
  return { passed: tests.length - failed - skipped, failed, skipped };
}

/**
 * The files with a failure.
 *
 * @param {string[]} files all that ran
 * @param {string} xml
 * @param {string} output
 * @returns {string[]} all of them where nothing says which
 */
export function failedFiles(files, xml, output) {
  const failed = files.filter((file) => {
    const name = file.replace(/[.]/g, "\\.");
    return new RegExp(`<testsuite name="(?:\\./)?${name}"[^>]* failures="[1-9]`).test(xml) ||
      new RegExp(`^(?:\\./)?${name}(?: \\(uncaught error\\)|:\\s+# Unhandled error)`, "m").test(
        output,
      );
  });
  return failed.length > 0 ? failed : files;
}

/**
 * What an output says of failures, without what comes before and after.
 *
 * @param {string} output
 */
export function failureText(output) {
  const deno = /^ ERRORS $([^]*?)^ FAILURES $/m.exec(output);
  return (deno?.[1] ?? output.replace(/^bun test v.*$/m, "")).trim();
}
