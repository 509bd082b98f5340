// What of a username may be shown to whoever looks at the page.

import { type Delimiter, parseUsername } from "../../accounts/username.ts";

/** Characters of what is no username that are shown, and how long it must be for that. */
const HINT = 3;
const LONG = 20;

/**
 * A well-formed username whole. Anything else may be a secret in the wrong field: of it the length,
 * and where it is long its beginning, as Entra ID shows of a secret (passwordCredential's `hint`).
 * https://learn.microsoft.com/graph/api/resources/passwordcredential
 */
export function shownUsername(username: string, delimiter: Delimiter): string {
  if (username === "") return "(empty)";
  if (parseUsername(username, delimiter).type !== "invalid") return username;
  const characters = [...username.toWellFormed()];
  const { length } = characters;
  const count = `${length} character${length === 1 ? "" : "s"}`;
  if (length < LONG) return `(not shown: ${count}, no well-formed username)`;
  return `${characters.slice(0, HINT).join("")}… (${count}, no well-formed username)`;
}
