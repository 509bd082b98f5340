// The .deb package, made by dpkg-deb(1): https://www.debian.org/doc/debian-policy/

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { NAME } from "../../src/commands/version.ts";
import { DESCRIPTION, HOMEPAGE, MAINTAINER, type Order, SUMMARY } from "./metadata.ts";
import {
  commonFiles,
  compressed,
  contentOf,
  DOC,
  layOut,
  type PackagedFile,
  type Source,
  zshFile,
} from "./tree.ts";
import { RELEASE, versionInName } from "./versions.ts";

const SCRIPTS = ["postinst", "prerm", "postrm"];

/** @returns the package's file name */
export function makeDeb(source: Source, order: Order): string {
  const { root, epoch } = source;
  const { target, folder, output, compress } = order;
  const version = `${order.version}-${RELEASE}`;
  const own = join(root, "deploy/packages/debian");
  const files = [
    ...commonFiles(source),
    zshFile("/usr/share/zsh/vendor-completions"),
    text(`${DOC}/copyright`, copyright(source)),
    text(`${DOC}/THIRD_PARTY_LICENSES.txt`, source.notices),
    text(`${DOC}/changelog.gz`, compressed(readFileSync(join(root, "CHANGELOG.md")))),
    text(`${DOC}/changelog.Debian.gz`, compressed(changelog(version, epoch))),
    text(`/usr/share/lintian/overrides/${NAME}`, { copyOf: join(own, "lintian-overrides") }),
  ];
  const control = [
    text("/control", controlOf(version, target.debian, files)),
    text("/md5sums", sums(files)),
    text(
      "/conffiles",
      files.filter(({ kind }) => kind === "config").map(({ path }) => `${path}\n`).join(""),
    ),
    ...SCRIPTS.map((name) => ({
      path: `/${name}`,
      mode: 0o755,
      content: { copyOf: join(own, name) },
    })),
  ];
  const tree = join(folder, "deb");
  mkdirSync(tree);
  layOut(join(tree), [
    ...files,
    ...control.map((file) => ({ ...file, path: `/DEBIAN${file.path}` })),
  ], epoch);
  const name = `${NAME}_${versionInName(order.version)}_${target.debian}.deb`;
  const made = join(folder, name);
  execFileSync("dpkg-deb", [
    "--root-owner-group",
    ...(compress ? ["-Zxz", "--threads-max=2"] : ["-Znone"]),
    "--build",
    tree,
    made,
  ], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
    stdio: ["ignore", "ignore", "inherit"],
  });
  copyFileSync(made, join(output, name));
  return name;
}

function text(path: string, content: PackagedFile["content"]): PackagedFile {
  return { path, mode: 0o644, content };
}

function controlOf(version: string, architecture: string, files: readonly PackagedFile[]): string {
  const paragraphs = DESCRIPTION.map((paragraph) => paragraph.replace(/^/gm, " "));
  // Kibibytes, each file rounded up: deb-substvars(5).
  const size = files.reduce((sum, file) => sum + Math.ceil(contentOf(file).length / 1024), 0);
  return [
    `Package: ${NAME}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    `Maintainer: ${MAINTAINER}`,
    `Installed-Size: ${size}`,
    // systemd 250 for the specifier %d of the unit.
    "Depends: libc6 (>= 2.17), systemd (>= 250) | systemd-standalone-sysusers (>= 250)",
    "Section: mail",
    "Priority: optional",
    `Homepage: ${HOMEPAGE}`,
    `Description: ${SUMMARY}`,
    paragraphs.join("\n .\n"),
    "",
  ].join("\n");
}

function sums(files: readonly PackagedFile[]): string {
  return files.filter(({ kind }) => kind !== "config").map((file) =>
    `${createHash("md5").update(contentOf(file)).digest("hex")}  ${file.path.slice(1)}\n`
  ).sort((a, b) => a.slice(34) < b.slice(34) ? -1 : 1).join("");
}

/** deb-changelog(5) */
function changelog(version: string, epoch: number): string {
  // Fri, 01 Jan 2027 00:00:00 GMT
  const date = new Date(epoch * 1000).toUTCString().replace("GMT", "+0000");
  return `${NAME} (${version}) unstable; urgency=medium

  * Version ${version}: see changelog.gz beside this file.

 -- ${MAINTAINER}  ${date}
`;
}

function copyright({ root }: Source): string {
  return `This package is made by the project itself, which has this licence:

${readFileSync(join(root, "LICENSE"), "utf8").trim()}

The executable also contains packages of others and Bun's runtime. Their notices and licences are in
${DOC}/THIRD_PARTY_LICENSES.txt, and "${NAME} version --licenses" prints them.
`;
}
