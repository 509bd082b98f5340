// What the tests of a release share: this project, a changelog that has something to release, and folders.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const CHANGELOG = `# Changelog

## [Unreleased]

### Added

- A thing that
  takes two lines, see [the page](docs/page.md#part) and [another](https://example.com/).

## [0.9.0] - 2026-10-01

- Older.
`;

/** Folders until they are removed. */
export class Folders {
  readonly #made: string[] = [];

  add(): string {
    const folder = mkdtempSync(join(tmpdir(), "relay-release-"));
    this.#made.push(folder);
    return folder;
  }

  remove(): void {
    for (const folder of this.#made) rmSync(folder, { recursive: true });
  }
}
