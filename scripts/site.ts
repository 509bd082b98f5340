// The documentation as a site: the Markdown of the project, as pages in dist/site.
//
//   bun scripts/site.ts                  the working tree as the latest version, and each released one
//   bun scripts/site.ts --released       the newest release as the latest version, as it is published
//
//   --output DIRECTORY     dist/site; its contents are replaced
//   --address URL          where the site will be, for its site map and the page for wrong addresses;
//                          or SITE_ADDRESS
//
// A release is a tag `v1.2.3` of git, and its pages are in a folder of the site with its version. Links to
// other files lead to the repository that package.json names. Exit 1 if a link leads nowhere, and 2 for
// wrong arguments. The same files give the same site.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { siteAddress } from "./site/addresses.ts";
import { buildSite } from "./site/build.ts";
import { editionsOf } from "./site/editions.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { output, released, address } = options();
const editions = editionsOf(root, released);
const { files, problems } = buildSite(editions, address);
for (const problem of problems) console.error(`site: ${problem}`);
if (problems.length > 0) process.exit(1);

// What somebody has put elsewhere by mistake is not removed.
if (existsSync(output) && readdirSync(output).length > 0) {
  if (!existsSync(join(output, "versions.json"))) fail(`${output} has something else in it`, 1);
  rmSync(output, { recursive: true });
}
for (const [name, content] of files) {
  const path = join(output, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
const names = editions.map(({ version, folder }) =>
  folder === "" ? `${version} (latest)` : version
);
console.log(`${output}: ${files.size} files; ${names.join(", ")}`);

function options() {
  try {
    const { values } = parseArgs({
      options: {
        output: { type: "string" },
        released: { type: "boolean" },
        address: { type: "string" },
      },
    });
    const address = values.address ?? process.env["SITE_ADDRESS"] ?? "";
    return {
      output: resolve(values.output ?? join(root, "dist/site")),
      released: values.released ?? false,
      ...(address === "" ? {} : { address: siteAddress(address) }),
    };
  } catch (error) {
    return fail((error as Error).message, 2);
  }
}

function fail(message: string, status: number): never {
  console.error(`site: ${message}`);
  process.exit(status);
}
