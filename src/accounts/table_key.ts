// What a key of a table may be.
// https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model

/** Octets. */
const MAX_KEY = 1024;
// deno-lint-ignore no-control-regex -- the table service forbids them
const FORBIDDEN = /[/\\#?\x00-\x1f\x7f-\x9f]/;

/** Whether a table may have this PartitionKey or RowKey. Others are not asked for. */
export function isTableKey(text: string): boolean {
  if (text === "" || FORBIDDEN.test(text) || !text.isWellFormed()) return false;
  return new TextEncoder().encode(text).length <= MAX_KEY;
}
