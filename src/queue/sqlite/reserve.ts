// Room that is kept back: on a full disk SQLite cannot even delete a message, and one that was sent
// would be sent again after a restart.

import {
  closeSync,
  fsyncSync,
  lstatSync,
  openSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { randomFillSync } from "node:crypto";
import { dirname } from "node:path";

const OCTETS = 4 * 1024 * 1024;
/** Free octets from which the reserve is made again. */
const ENOUGH = 4 * OCTETS;

export class Reserve {
  readonly #path: string;

  /** @param path of its file */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Makes the file if there is room and it is not there.
   *
   * @returns whether it is there
   */
  make(): boolean {
    try {
      const found = lstatSync(this.#path, { throwIfNoEntry: false });
      if (found?.isFile() && found.size === OCTETS) return true;
      const { bavail, bsize } = statfsSync(dirname(this.#path));
      if (bavail * bsize < ENOUGH) return false;
      // What is there is not written to: it may be a link to another file.
      if (found !== undefined) unlinkSync(this.#path);
      const file = openSync(this.#path, "wx", 0o600);
      try {
        // Octets that no file system makes smaller.
        const octets = randomFillSync(new Uint8Array(OCTETS));
        let written = 0;
        while (written < OCTETS) written += writeSync(file, octets, written);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      return true;
    } catch {
      // One of the wrong size is made again when there is room.
      this.release();
      return false;
    }
  }

  /** @returns whether there was something to give up */
  release(): boolean {
    try {
      unlinkSync(this.#path);
      return true;
    } catch {
      return false;
    }
  }
}
