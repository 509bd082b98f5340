// Prints a release's notes: `node scripts/release/notes.mjs v1.2.3`, from the changelog's section. Exit 1
// if there is no such section, 2 for wrong arguments.
//
// A line's end is a line's end in a release's page, so paragraphs become one line. In the pipeline
// (GITHUB_REPOSITORY is set), links to files lead to the files as they were at the tag, and what was
// released can be installed and verified by what is at the end.

import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { changesOf } from "./changelog.mjs";

/**
 * @typedef {{ server: string, repository: string, image: string }} Place where the release will be
 */

/**
 * @param {string} changelog
 * @param {string} tag such as v1.2.3
 * @param {Place} [place] left out, links stay as they are
 * @returns {string}
 * @throws {Error} if the changelog does not have the version
 */
export function notesOf(changelog, tag, place) {
  const version = tag.replace(/^v/, "");
  const changes = unwrapped(changesOf(changelog, version));
  if (place === undefined) return `${changes}\n`;
  const { server, repository, image } = place;
  const files = `${server}/${repository}/blob/${tag}/`;
  const linked = changes.replace(
    /\]\((?![a-z][a-z0-9+.-]*:|#)([^)\s]+)\)/gi,
    (_, target) => `](${files}${target})`,
  );
  const workflow = `${server}/${repository}/.github/workflows/release.yml@refs/tags/${tag}`;
  const download = `${server}/${repository}/releases/download/${tag}`;
  return `${linked}

## Install

| | |
| --- | --- |
| Linux, macOS, Windows | [the executable](${files}docs/installation.md#download-the-executable) for your system, below |
| Debian, Ubuntu, Red Hat, Fedora, SUSE | [a package](${files}docs/packages.md), below |
| Docker, Podman | \`${image}:${version}\` |
| Kubernetes | [Helm](${files}deploy/helm/smtp-oauth-relay/README.md): \`helm install smtp-relay ${download}/smtp-oauth-relay-${version}.tgz\`, or [kustomize](${files}deploy/kubernetes/README.md) |
| Azure | [a button for Container Apps](${files}deploy/azure/README.md) |
| Homebrew, winget | [the formula](${files}deploy/homebrew/README.md) and [the manifests](${files}deploy/winget/README.md), below |

For many machines, lay the packages out as [a repository](${files}docs/packages.md#a-repository) that apt, dnf and zypper find upgrades in. In the source of ${tag}, with a key of gpg:

\`\`\`sh
gh release download ${tag} --repo ${repository} --dir packages --pattern "*.deb" --pattern "*.rpm"
(set -e; for file in packages/*; do gh attestation verify "$file" --repo ${repository}; done) &&
  sh scripts/package/repository.sh packages repository KEY
\`\`\`

It makes \`repository/deb/\` (packages, \`Packages.gz\`, signed \`InRelease\`), \`repository/rpm/\` (packages, \`repodata/\` with its signature) and the public key \`repository/key.asc\`, for any web server.

## Verify what you downloaded

\`\`\`sh
sha256sum --check --ignore-missing SHA256SUMS
gh attestation verify FILE --repo ${repository}
gh attestation verify oci://${image}:${version} --repo ${repository}
cosign verify-blob SHA256SUMS --bundle SHA256SUMS.sigstore.json \\
  --certificate-identity ${workflow} \\
  --certificate-oidc-issuer https://token.actions.githubusercontent.com
cosign verify ${image}:${version} \\
  --certificate-identity ${workflow} \\
  --certificate-oidc-issuer https://token.actions.githubusercontent.com
\`\`\`

The executables can also be [built again](${files}docs/installation.md#build-the-executable) and compared.
`;
}

/** Joins the lines of each paragraph and of each entry of a list; fenced blocks and tables stay. */
function unwrapped(text) {
  const lines = [];
  let isFenced = false;
  let joins = false;
  for (const line of text.split("\n")) {
    const isFence = /^\s*(?:```|~~~)/.test(line);
    const begins = isFence || isFenced || line === "" ||
      /^(?:\s*(?:[-*+]|\d+\.)\s|#|\||>)/.test(line);
    if (joins && !begins) lines.push(`${lines.pop()} ${line.trim()}`);
    else lines.push(line);
    if (isFence) isFenced = !isFenced;
    joins = !isFence && !isFenced && line !== "" && !/^(?:#|\|)/.test(line);
  }
  return lines.join("\n");
}

function main([tag, ...surplus]) {
  if (tag === undefined || surplus.length > 0) {
    console.error("usage: node scripts/release/notes.mjs TAG");
    return 2;
  }
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, IMAGE: image } = process.env;
  const place = server && repository && image
    ? { server, repository, image: image.toLowerCase() }
    : undefined;
  try {
    const changelog = readFileSync(new URL("../../CHANGELOG.md", import.meta.url), "utf8");
    process.stdout.write(notesOf(changelog, tag, place));
    return 0;
  } catch (error) {
    console.error(`notes: ${error.message}`);
    return 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = main(process.argv.slice(2));
}
