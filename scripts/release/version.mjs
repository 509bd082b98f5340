// Version numbers (https://semver.org/spec/v2.0.0.html), without build metadata.

const NUMBER = "(?:0|[1-9]\\d*)";
const IDENTIFIER = `(?:${NUMBER}|\\d*[A-Za-z-][0-9A-Za-z-]*)`;
const FORM = new RegExp(
  `^(${NUMBER})\\.(${NUMBER})\\.(${NUMBER})(?:-(${IDENTIFIER}(?:\\.${IDENTIFIER})*))?$`,
);

/**
 * @typedef {{ text: string, numbers: number[], pre: string[] }} Version `pre` is empty for a final one
 */

/**
 * @param {string} text such as `1.2.3` or `1.2.3-rc.1`
 * @returns {Version}
 * @throws {Error} for another form
 */
export function parseVersion(text) {
  const match = FORM.exec(text);
  if (match === null) throw new Error(`"${text}" is not a version such as 1.2.3 or 1.2.3-rc.1`);
  const [, major, minor, patch, pre] = match;
  return { text, numbers: [major, minor, patch].map(Number), pre: pre?.split(".") ?? [] };
}

/**
 * The order of semantic versioning (§11).
 *
 * @param {Version} a
 * @param {Version} b
 * @returns {number} negative if `a` is the older one, 0 for equal ones
 */
export function compareVersions(a, b) {
  for (const [i, number] of a.numbers.entries()) {
    if (number !== b.numbers[i]) return number - b.numbers[i];
  }
  if (a.pre.length === 0 || b.pre.length === 0) return b.pre.length - a.pre.length;
  for (const [i, one] of a.pre.entries()) {
    const other = b.pre[i];
    if (other === undefined) return 1;
    if (one === other) continue;
    const isNumber = [one, other].map((identifier) => /^\d+$/.test(identifier));
    if (isNumber[0] && isNumber[1]) return Number(one) - Number(other);
    if (isNumber[0] !== isNumber[1]) return isNumber[0] ? -1 : 1;
    return one < other ? -1 : 1;
  }
  return a.pre.length - b.pre.length;
}
