// The files of a package, and how they are laid out in a directory: modes and times do not depend on the
// machine.

import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { NAME, VERSION } from "../../src/commands/version.ts";
import { CONFIGURATION } from "../../src/systemd/install.ts";
import { programText } from "./commands.ts";
import { bashCompletion, fishCompletion, zshCompletion } from "./completions.ts";
import { manPage } from "./man.ts";
import { settingTexts } from "./settings.ts";
import { packagedUnits } from "./units.ts";

export interface PackagedFile {
  /** From the root of the file system, with its slash. */
  readonly path: string;
  readonly mode: number;
  /** Its octets, or the file that has them. */
  readonly content: string | Uint8Array | { readonly copyOf: string };
  /** A configuration file, which an upgrade keeps as it is; a licence; documentation. */
  readonly kind?: "config" | "license" | "doc";
}

/** What a package is made from. */
export interface Source {
  /** The project's directory, with its slash. */
  readonly root: string;
  readonly executable: string;
  /** The licence notices of what is in the executable. */
  readonly notices: string;
  /** What the file for the settings says before somebody has written into it. */
  readonly settings: string;
  /** Seconds since 1970: the time of all files. */
  readonly epoch: number;
}

export const DOC = `/usr/share/doc/${NAME}`;

/** The files that both kinds of packages have. */
export function commonFiles({ root, executable, settings, epoch }: Source): PackagedFile[] {
  const program = programText();
  const date = new Date(epoch * 1000).toISOString().slice(0, 10);
  const man = manPage(program, settingTexts(), { version: VERSION, date });
  const plain = (path: string, content: PackagedFile["content"]): PackagedFile => ({
    path,
    mode: 0o644,
    content,
  });
  return [
    { path: `/usr/bin/${NAME}`, mode: 0o755, content: { copyOf: executable } },
    { path: `${CONFIGURATION}/environment`, mode: 0o640, content: settings, kind: "config" },
    ...packagedUnits().map(({ name, text }) => plain(`/usr/lib/systemd/system/${name}`, text)),
    plain(`/usr/lib/sysusers.d/${NAME}.conf`, {
      copyOf: join(root, "deploy/packages/sysusers.conf"),
    }),
    plain(`/usr/share/man/man1/${NAME}.1.gz`, compressed(man)),
    plain(`/usr/share/bash-completion/completions/${NAME}`, bashCompletion(program)),
    plain(`/usr/share/fish/vendor_completions.d/${NAME}.fish`, fishCompletion(program)),
    ...documentation(root),
  ];
}

/** The page of the completion system of zsh, whose directory depends on the distribution. */
export function zshFile(directory: string): PackagedFile {
  const content = zshCompletion(programText());
  return { path: `${directory}/_${NAME}`, mode: 0o644, content };
}

/** The README and the pages, with the paths that their links have. */
function documentation(root: string): PackagedFile[] {
  const pages = ["docs", "docs/devices"].flatMap((folder) =>
    readdirSync(join(root, folder)).filter((name) => /\.(?:md|json|png)$/.test(name)).sort()
      .map((name) => `${folder}/${name}`)
  );
  const entra = ["README.md", "setup.ps1", "setup.sh"].map((name) => `deploy/entra/${name}`);
  const all = ["README.md", "SECURITY.md", "deploy/systemd/README.md", ...entra, ...pages];
  return all.map((path) => ({
    path: `${DOC}/${path}`,
    mode: path.endsWith(".sh") ? 0o755 : 0o644,
    content: { copyOf: join(root, path) },
    kind: "doc",
  }));
}

/** As `gzip -9n` does: without a name and a time. */
export function compressed(text: string | Uint8Array): Uint8Array {
  const octets = gzipSync(text, { level: 9 });
  // XFL "maximum compression" and the operating system Unix (RFC 1952, 2.3.1), by which tools know it.
  octets[8] = 2;
  octets[9] = 3;
  return octets;
}

/** Writes the files below a directory, which has to be empty. */
export function layOut(directory: string, files: readonly PackagedFile[], epoch: number): void {
  for (const { path, mode, content } of files) {
    const place = join(directory, path);
    mkdirSync(dirname(place), { recursive: true });
    if (typeof content === "object" && "copyOf" in content) copyFileSync(content.copyOf, place);
    else writeFileSync(place, content);
    chmodSync(place, mode);
    utimesSync(place, epoch, epoch);
  }
  for (const folder of directoriesBelow(directory)) {
    chmodSync(folder, 0o755);
    utimesSync(folder, epoch, epoch);
  }
}

/** The deepest first, the directory itself last. */
export function directoriesBelow(directory: string): string[] {
  const inside = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => directoriesBelow(join(directory, entry.name)));
  return [...inside, directory];
}

export function contentOf({ content }: PackagedFile): Uint8Array {
  if (typeof content === "string") return new TextEncoder().encode(content);
  return "copyOf" in content ? readFileSync(content.copyOf) : content;
}
