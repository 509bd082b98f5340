// Signs by cosign, with the identity of the workflow that runs and without a key of its own
// (https://docs.sigstore.dev/cosign/signing/overview/):
//
//   node scripts/release/sign.mjs files FOLDER          its SHA256SUMS, and so every file; the signature
//                                                       is SHA256SUMS.sigstore.json beside it
//   node scripts/release/sign.mjs image IMAGE DIGEST    an image, in its registry
//
// Exit 1 if there is nothing to sign or cosign fails, 2 for wrong arguments.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { SIGNATURE, sumProblems, SUMS } from "./sums.mjs";

const [kind, ...args] = process.argv.slice(2);
if (kind === "files" && args.length === 1) await signFiles(args[0]);
else if (kind === "image" && args.length === 2) signImage(...args);
else fail("usage: sign.mjs files FOLDER, or sign.mjs image IMAGE DIGEST", 2);

async function signFiles(folder) {
  const problems = await sumProblems(folder);
  if (problems.length > 0) fail(problems.join("\nsign: "), 1);
  cosign("sign-blob", "--yes", "--bundle", join(folder, SIGNATURE), join(folder, SUMS));
}

function signImage(image, digest) {
  // A tag could be another image a moment later.
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) fail(`"${digest}" is not an image's digest`, 1);
  cosign("sign", "--yes", `${image.toLowerCase()}@${digest}`);
}

function cosign(...args) {
  const { status, error } = spawnSync("cosign", args, { stdio: "inherit" });
  if (error !== undefined) fail(`cosign cannot be run: ${error.message}`, 1);
  if (status !== 0) fail(`cosign ended with ${status}`, 1);
}

function fail(text, status) {
  console.error(`sign: ${text}`);
  process.exit(status);
}
