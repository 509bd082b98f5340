// The command that mends or deletes an entry of the lookup table, to be pasted into a shell.

/**
 * @param column without a value, which nobody but the administrator knows; or with one behind "="
 */
export function lookupCommand(
  action: "set" | "delete",
  id: string,
  ...columns: readonly string[]
): string {
  const words = columns.map((column) => column.includes("=") ? column : `${column}=VALUE`);
  // Behind it, an id that begins with a hyphen is no option.
  const end = id.startsWith("-") ? ["--"] : [];
  return [`smtp-oauth-relay lookup ${action}`, ...end, ...[id, ...words].map(quoted)].join(" ");
}

/** One word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@.:=/+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
