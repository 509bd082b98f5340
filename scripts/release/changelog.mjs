// CHANGELOG.md in the form of Keep a Changelog (https://keepachangelog.com/en/1.1.0/): a section for each
// version, the newest first, and one for what is not released yet.

const UNRELEASED = "## [Unreleased]";
const headingOf = (version) => `## [${version}]`;

/**
 * The text below a heading of the second level.
 *
 * @param {string} text of the changelog
 * @param {string} heading how it begins
 * @returns {{ start: number, end: number, heading: string, body: string } | undefined} with the places
 *   of heading and body in the text
 */
function section(text, heading) {
  const start = text.startsWith(heading) ? 0 : text.indexOf(`\n${heading}`) + 1;
  if (start === 0 && !text.startsWith(heading)) return undefined;
  const next = text.indexOf("\n## ", start);
  const end = next < 0 ? text.length : next + 1;
  const [line = "", ...lines] = text.slice(start, end).split("\n");
  return { start, end, heading: line, body: lines.join("\n").trim() };
}

/** @returns {boolean} whether a section has more than headings */
const hasEntries = (body) => body.split("\n").some((line) => line !== "" && !line.startsWith("#"));

/**
 * What a version changes, for its release notes.
 *
 * @param {string} text
 * @param {string} version
 * @returns {string}
 * @throws {Error} if the version has no section, no date, or no entries
 */
export function changesOf(text, version) {
  const found = section(text, headingOf(version));
  if (found === undefined) throw new Error(`CHANGELOG.md has no section "${headingOf(version)}"`);
  if (!/ - \d{4}-\d{2}-\d{2}$/.test(found.heading)) {
    throw new Error(`CHANGELOG.md: "${found.heading}" does not end with its date, " - YYYY-MM-DD"`);
  }
  if (!hasEntries(found.body)) throw new Error(`CHANGELOG.md: "${found.heading}" is empty`);
  return found.body;
}

/**
 * @param {string} text
 * @param {string} version
 * @returns {boolean}
 */
export const isReleased = (text, version) => section(text, headingOf(version)) !== undefined;

/**
 * Makes the section of what is not released yet one of a version, and begins a new one.
 *
 * @param {string} text
 * @param {string} version
 * @param {string} date YYYY-MM-DD
 * @returns {string}
 * @throws {Error} if nothing has changed
 */
export function released(text, version, date) {
  const found = section(text, UNRELEASED);
  if (found === undefined) throw new Error(`CHANGELOG.md has no section "${UNRELEASED}"`);
  if (!hasEntries(found.body)) {
    throw new Error(`CHANGELOG.md: "${UNRELEASED}" is empty: there is nothing to release`);
  }
  const after = found.end < text.length ? "\n" : "";
  return text.slice(0, found.start) +
    `${UNRELEASED}\n\n${headingOf(version)} - ${date}\n\n${found.body}\n${after}` +
    text.slice(found.end);
}

/**
 * Checks what a release needs.
 *
 * @param {string} text
 * @returns {string[]} a line for each problem
 */
export function changelogProblems(text) {
  const headings = text.split("\n").filter((line) => line.startsWith("## "));
  const problems = [];
  if (headings[0] !== UNRELEASED) {
    problems.push(`CHANGELOG.md: the first section is not "${UNRELEASED}"`);
  }
  for (const heading of headings.slice(1)) {
    if (!/^## \[\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?\] - \d{4}-\d{2}-\d{2}$/.test(heading)) {
      problems.push(`CHANGELOG.md: "${heading}" is not of the form "## [1.2.3] - YYYY-MM-DD"`);
    }
  }
  return problems;
}
