// Unit files as systemd reads them: the file itself and its drop-ins (systemd.unit(5)), their syntax
// (systemd.syntax(7)), and words with quotes in them (systemd.service(5), "Command lines").

/** The machine's files. */
export interface Files {
  /** @returns undefined if the file does not exist, or may not be read */
  read(path: string): string | undefined;
  /** Names in a directory; an empty list where it does not exist. */
  list(path: string): readonly string[];
}

/** Where units are, the first one wins. */
const DIRECTORIES = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/lib/systemd/system",
];

export interface Unit {
  readonly name: string;
  /** The unit's own file, then its drop-ins in the order in which they count. */
  readonly paths: readonly string[];
  /** All values of a key, in order; an empty value has removed those before it. */
  all(section: string, key: string): readonly string[];
  /** The last value of a key. */
  last(section: string, key: string): string | undefined;
}

/**
 * @param given a unit's name; or the path of its file, with its drop-ins in the same directory
 * @returns undefined if there is no such unit
 */
export function readUnit(given: string, files: Files): Unit | undefined {
  const name = given.slice(given.lastIndexOf("/") + 1);
  const places = name === given ? DIRECTORIES.map((path) => `${path}/${name}`) : [given];
  const place = places.find((path) => files.read(path) !== undefined);
  if (place === undefined) return undefined;
  const beside = `${given}.d`;
  const paths = [
    place,
    ...(name === given
      ? dropIns(name, files)
      : files.list(beside).filter((file) => file.endsWith(".conf")).sort()
        .map((file) => `${beside}/${file}`)),
  ];
  const values = new Map<string, string[]>();
  for (const path of paths) {
    for (const [section, key, value] of assignmentsIn(files.read(path) ?? "")) {
      const id = `${section}.${key}`;
      values.set(id, value === "" ? [] : [...values.get(id) ?? [], value]);
    }
  }
  const all = (section: string, key: string) => values.get(`${section}.${key}`) ?? [];
  return { name, paths, all, last: (section, key) => all(section, key).at(-1) };
}

/** The names of all units of a type. */
export function unitNames(type: string, files: Files): string[] {
  const names = DIRECTORIES.flatMap((path) => files.list(path));
  return [...new Set(names)].filter((name) => name.endsWith(`.${type}`)).sort();
}

/** Whether a unit is started with another one, by its [Install] section. */
export function isEnabled(name: string, files: Files): boolean {
  return DIRECTORIES.some((path) =>
    files.list(path).some((folder) =>
      /\.(?:wants|requires)$/.test(folder) && files.list(`${path}/${folder}`).includes(name)
    )
  );
}

/**
 * The drop-ins of a unit, of those whose names begin as its own does up to a hyphen, and of all of its
 * type; by their file names, of which one in an earlier directory hides the others.
 */
function dropIns(name: string, files: Files): string[] {
  const [, stem = "", type = ""] = /^(.*)\.(\w+)$/.exec(name) ?? [];
  const words = stem.split("-");
  const prefixes = words.slice(1).map((_, i) =>
    `${words.slice(0, words.length - 1 - i).join("-")}-`
  );
  // The most specific first: it overrides the others.
  const names = [name, ...prefixes.map((prefix) => `${prefix}.${type}`), type];
  const found = new Map<string, string>();
  for (const unit of names) {
    for (const directory of DIRECTORIES) {
      const folder = `${directory}/${unit}.d`;
      for (const file of files.list(folder)) {
        if (file.endsWith(".conf") && !found.has(file)) found.set(file, `${folder}/${file}`);
      }
    }
  }
  return [...found.keys()].sort().map((file) => found.get(file)!);
}

function assignmentsIn(text: string): (readonly [section: string, key: string, value: string])[] {
  const found: [string, string, string][] = [];
  let section = "";
  let line = "";
  for (const piece of text.split(/\r?\n/)) {
    // A comment may interrupt a continued line.
    if (/^\s*[#;]/.test(piece)) continue;
    line += piece;
    if (line.endsWith("\\")) {
      line = `${line.slice(0, -1)} `;
      continue;
    }
    const header = /^\s*\[([^\]]+)\]\s*$/.exec(line);
    const assignment = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(line);
    if (header !== null) section = header[1]!;
    else if (assignment !== null) found.push([section, assignment[1]!, assignment[2]!]);
    line = "";
  }
  return found;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", s: " " };

/** Splits a value into words: quotes keep a word together, a backslash escapes the next character. */
export function wordsOf(value: string): string[] {
  const words: string[] = [];
  const pattern = /\s*((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+)/gsy;
  for (let match = pattern.exec(value); match !== null; match = pattern.exec(value)) {
    words.push(
      match[1]!.replace(
        /"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|\\(.)/gs,
        (_, double?: string, single?: string, escaped?: string) =>
          unescaped(double ?? single ?? `\\${escaped}`),
      ),
    );
  }
  return words;
}

export function unescaped(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{2})|(.))/gs,
    (_, hex: string | undefined, plain: string) =>
      hex === undefined ? ESCAPES[plain] ?? plain : String.fromCharCode(parseInt(hex, 16)),
  );
}
