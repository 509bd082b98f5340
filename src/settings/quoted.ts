// How a value is quoted in a problem or a warning.

import { withoutSecrets as withoutClientSecrets } from "../secret.ts";

/** As a JSON string. Control sequences of terminals, which JSON allows, are escaped too. */
export function quoted(text: string): string {
  return printableJson(JSON.stringify(text));
}

/** The same JSON, in which nothing moves the cursor of a terminal or turns text about. */
export function printableJson(json: string): string {
  return json.replace(
    /[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A misplaced client secret, password or signature in a URL, or a whole connection string. */
export function withoutSecrets(text: string): string {
  // A quote that is not closed makes the lines after it part of the value: they may be other settings.
  const shown = text.replace(/([\r\n][^=\r\n]*=)[^\r\n]+/g, "$1…");
  // Word by word: a pattern that ends in an at sign would search for it from each "://" anew.
  return withoutClientSecrets(shown).replace(/\S+/g, withoutPassword)
    .replace(/((?:AccountKey|SharedAccessSignature) *=)[^;]*/gi, "$1…")
    .replace(/((?:^|[?&;=])sig=)[^&;\s]*/gi, "$1…");
}

function withoutPassword(url: string): string {
  const at = url.lastIndexOf("@");
  const user = /:\/\/[^/:@]*:/.exec(url.slice(0, Math.max(0, at)));
  return user === null ? url : url.slice(0, user.index) + user[0] + "…" + url.slice(at);
}
