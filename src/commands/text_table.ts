// Tables for terminals.

/** Rows with their columns aligned, two spaces between them; the last is as long as it is. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printableText));
  const widths: number[] = [];
  for (const row of cells) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  return cells.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()
  ).join("\n");
}

/** Without what would move about on a terminal, or begin a new line there. */
export function printableText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}
