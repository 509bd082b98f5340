// The licence notices of what is in an executable: the project's own, those of the packages of which
// something is in the bundle, and those that come with Bun.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type Lock, nameOf, placeOf } from "./lock.ts";

/** How packages name the files that have to be passed on. */
const NOTICE = /^(?:licen[cs]e|copying|notice|copyrightnotice|third-?party)[^/]*$/i;
const RULE = "=".repeat(80);

/**
 * @param root the project's directory, with its slash
 * @param files those in the bundle, by their paths from the root
 */
export function notices(root: string, lock: Lock, files: Iterable<string>): string {
  const places = [...new Set([...files].map(placeOf))].filter((place) => place !== undefined)
    .sort();
  // Many packages share a text word for word.
  const sharers = new Map<string, string[]>();
  for (const place of places) {
    const { version, license } = lock.packages[place]!;
    const text = textOf(root, place) ?? withoutFile(root, place);
    const title = `${nameOf(place)} ${version} (${license ?? "licence not declared"})`;
    sharers.set(text, [...sharers.get(text) ?? [], title]);
  }
  const bun = lock.packages["node_modules/bun"]!.version;
  const parts = [
    `${lock.name} ${lock.version}`,
    read(`${root}LICENSE`),
    ...[...sharers].flatMap(([text, titles]) => [[...new Set(titles)].join("\n"), text]),
    `Bun ${bun}`,
    read(`${root}scripts/build/notices/bun.txt`),
    "GNU Lesser General Public License 2.1, for JavaScriptCore and TinyCC in Bun",
    read(`${root}scripts/build/notices/LGPL-2.1.txt`),
  ];
  return parts.map((part, i) => i % 2 === 0 ? `${RULE}\n${part}\n${RULE}\n\n` : `${part}\n\n`)
    .join("").trimEnd() + "\n";
}

function textOf(root: string, place: string): string | undefined {
  const names = readdirSync(`${root}${place}`).filter((name) => NOTICE.test(name)).sort();
  return names.length === 0
    ? undefined
    : names.map((name) => read(`${root}${place}/${name}`)).join("\n\n");
}

/** What a package without such a file declares in its package.json. */
function withoutFile(root: string, place: string): string {
  const { author, repository, license } = JSON.parse(
    read(`${root}${place}/package.json`),
  ) as Record<string, unknown>;
  const name = (value: unknown) =>
    typeof value === "string" ? value : (value as { name?: string; url?: string } | undefined);
  const by = name(author);
  const from = name(repository);
  return [
    "The package has no file with its licence. It declares:",
    `Licence: ${license ?? "none"}`,
    `Author: ${typeof by === "string" ? by : by?.name ?? "not named"}`,
    `Source: ${typeof from === "string" ? from : from?.url ?? "not named"}`,
  ].join("\n");
}

function read(path: string): string {
  if (!existsSync(path)) throw new Error(`${path} is missing`);
  return readFileSync(path, "utf8").replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n").trim();
}
