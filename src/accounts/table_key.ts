// What a key of a table may be.
// https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model

/** Octets. */
const MAX_KEY = 1024;
// deno-lint-ignore no-control-regex -- the table service forbids them
const FORBIDDEN = /[/\\#?\x00-\x1f\x7f-\x9f]/;

/** Whether a table may have this PartitionKey or RowKey. Others are not asked for. */
export function isTableKey(text: string): boolean {
  return tableKeyProblem(text) === undefined;
}

/** Why a table may not have this key, as the end of "the id …". */
export function tableKeyProblem(text: string): string | undefined {
  if (text === "") return "is empty";
  if (new TextEncoder().encode(text).length > MAX_KEY) {
    return "is over 1 KiB, which is the most for a key of a table";
  }
  if (FORBIDDEN.test(text) || !text.isWellFormed()) {
    return "can be no key of a table: / \\ # ? and controls are not allowed";
  }
  return undefined;
}
