// What commands print, without anything that a terminal would obey.

import process from "node:process";
import { createInterface } from "node:readline/promises";

/** Characters of an argument that an error line quotes at most. */
const MAX_SHOWN = 128;

/** In quotes, and safe for a terminal. */
export function shown(text: string): string {
  const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return JSON.stringify(printableText(cut));
}

/** Without characters that would move the cursor of a terminal, or begin a new line there. */
export function printableText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}

/** Rows in aligned columns. Columns become wider with the rows, but never narrower. */
export class Table {
  readonly #widths: number[] = [];

  /** The lines of some rows, two spaces between columns; the last column is not padded. */
  text(rows: readonly (readonly string[])[]): string {
    const cells = rows.map((row) => row.map(printableText));
    for (const row of cells) {
      for (const [column, cell] of row.entries()) {
        this.#widths[column] = Math.max(this.#widths[column] ?? 0, cell.length);
      }
    }
    return cells.map((row) =>
      row.map((cell, column) => cell.padEnd(this.#widths[column]!)).join("  ").trimEnd()
    ).join("\n");
  }
}

/** Asks on standard error, because standard output is for results alone. */
export async function agreed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test((await terminal.question(question)).trim());
  } finally {
    terminal.close();
  }
}
