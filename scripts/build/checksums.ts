// SHA256SUMS, as `sha256sum -c` reads it.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";

/** A line for each file, in the order of their names. */
export async function checksums(folder: string, names: readonly string[]): Promise<string> {
  let lines = "";
  for (const name of names.toSorted()) {
    const hash = createHash("sha256");
    for await (const octets of createReadStream(join(folder, name))) {
      hash.update(octets as Uint8Array);
    }
    lines += `${hash.digest("hex")}  ${name}\n`;
  }
  return lines;
}
