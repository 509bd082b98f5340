// The .rpm package, made by rpmbuild(8) of what deploy/packages/rpm/ describes.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { NAME } from "../../src/commands/version.ts";
import { CONFIGURATION } from "../../src/systemd/install.ts";
import { DESCRIPTION, HOMEPAGE, MAINTAINER, type Order } from "./metadata.ts";
import {
  commonFiles,
  compressed,
  DOC,
  layOut,
  type PackagedFile,
  type Source,
  zshFile,
} from "./tree.ts";
import { RELEASE, versionInName } from "./versions.ts";

const LICENSES = `/usr/share/licenses/${NAME}`;

/** @returns the package's file name */
export function makeRpm(source: Source, order: Order): string {
  const { root, notices, epoch } = source;
  const { target, version, folder, output, compress } = order;
  const license = (name: string, content: PackagedFile["content"]): PackagedFile => ({
    path: `${LICENSES}/${name}`,
    mode: 0o644,
    content,
    kind: "license",
  });
  const files: PackagedFile[] = [
    ...commonFiles(source),
    zshFile("/usr/share/zsh/site-functions"),
    license("LICENSE", { copyOf: join(root, "LICENSE") }),
    license("THIRD_PARTY_LICENSES.txt", notices),
    {
      path: `${DOC}/CHANGELOG.md.gz`,
      mode: 0o644,
      content: compressed(readFileSync(join(root, "CHANGELOG.md"))),
      kind: "doc",
    },
  ];
  const top = join(folder, "rpm");
  const tree = join(top, "tree");
  mkdirSync(tree, { recursive: true });
  layOut(tree, files, epoch);
  const spec = join(top, `${NAME}.spec`);
  writeFileSync(
    spec,
    filledIn(readFileSync(join(root, `deploy/packages/rpm/${NAME}.spec`), "utf8"), {
      VERSION: version,
      RELEASE,
      URL: HOMEPAGE,
      DESCRIPTION: DESCRIPTION.join("\n\n"),
      TREE: tree,
      FILES: fileLines(files).join("\n"),
      MAINTAINER,
      DATE: changelogDate(epoch),
    }),
  );
  const defines = {
    _topdir: top,
    _rpmdir: top,
    _rpmfilename: "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
    _buildhost: "localhost",
    use_source_date_epoch_as_buildtime: "1",
    clamp_mtime_to_source_date_epoch: "1",
    // Not by the changelog, whose date is a day.
    source_date_epoch_from_changelog: "0",
    // The form that every rpm since 4.6 reads.
    _binary_payload: compress ? "w6T2.xzdio" : "w.ufdio",
  };
  execFileSync("rpmbuild", [
    "-bb",
    "--quiet",
    `--target=${target.rpm}-linux`,
    ...Object.entries(defines).flatMap(([name, value]) => ["--define", `${name} ${value}`]),
    spec,
  ], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch), LC_ALL: "C", TZ: "UTC" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const made = `${NAME}-${version}-${RELEASE}.${target.rpm}.rpm`;
  const name = `${NAME}-${versionInName(version)}.${target.rpm}.rpm`;
  copyFileSync(join(top, made), join(output, name));
  return name;
}

/** Lines of %files: what is not its own directory is the distribution's. */
function fileLines(files: readonly PackagedFile[]): string[] {
  const kinds = { config: "%config(noreplace) ", license: "%license ", doc: "%doc " };
  const pages = ["docs", "docs/devices", "deploy", "deploy/entra", "deploy/systemd"].map((name) =>
    `${DOC}/${name}`
  );
  return [
    ...[CONFIGURATION, LICENSES, DOC, ...pages].map((path) => `%dir %attr(0755,root,root) ${path}`),
    ...files.map(({ path, mode, kind }) =>
      `${kind === undefined ? "" : kinds[kind]}%attr(0${mode.toString(8)},root,root) ${path}`
    ),
  ];
}

function filledIn(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/@([A-Z]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`nothing to fill in for @${name}@`);
    return value;
  });
}

/** `Fri Jan 01 2027` */
function changelogDate(epoch: number): string {
  const [, day, date, month, year] = /^(\w+), (\d+) (\w+) (\d+)/.exec(
    new Date(epoch * 1000).toUTCString(),
  )!;
  return `${day} ${month} ${date} ${year}`;
}
