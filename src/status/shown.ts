// Texts of clients and services as the status page keeps them: bounded, without anything that looks
// like a secret, and without addresses of recipients.

import { withoutSecrets } from "../secret.ts";

/** Characters of a text that are kept. */
const MAX_TEXT = 400;
/** The same of a name: an address, a username, a Message-ID. */
const MAX_NAME = 320;

/** A name, as the client gave it. */
export function shownName(text: string): string {
  return cut(withoutSecrets(text), MAX_NAME);
}

/**
 * What a service or the relay said about a failure. It may quote a recipient, and the page keeps
 * none: each address in it is replaced.
 *
 * @param names addresses that are shown anyway, such as the sender
 */
export function shownDetail(text: string, names: readonly string[] = []): string {
  const kept = new Set(names.map((name) => name.toLowerCase()));
  const words = withoutSecrets(text.slice(0, 4 * MAX_TEXT)).replace(
    ADDRESS,
    (found) => kept.has(found.toLowerCase()) || FORMS.has(found) ? found : "[address]",
  );
  return cut(words, MAX_TEXT);
}

/** Forms of a username that the relay's own texts name. */
const FORMS: ReadonlySet<string> = new Set(["tenant@client", "id@lookup", "TENANT_ID@CLIENT_ID"]);

const ADDRESS = /[^\s<>"'(),;:[\]]{1,320}@[^\s<>"'(),;:[\]]{1,320}/g;

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most).toWellFormed()}…`;
}
