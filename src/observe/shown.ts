// Texts of clients and services for those who see no recipients, on the status page and in events for a
// webhook: bounded, without anything that looks like a secret, and without addresses of recipients.

import { withoutSecrets } from "../secret.ts";
import { withoutAddresses } from "../service_text.ts";

/** Characters of a text that are kept. */
const MAX_TEXT = 400;
/** The same of a name: an address, a username, a Message-ID. */
const MAX_NAME = 320;

/** A name, as the client gave it. */
export function shownName(text: string): string {
  return cut(withoutSecrets(text), MAX_NAME);
}

/**
 * What a service or the relay said about a failure. It may quote a recipient: each address in it is
 * replaced.
 *
 * @param names addresses that are shown anyway, such as the sender
 */
export function shownDetail(text: string, names: readonly string[] = []): string {
  return cut(withoutAddresses(withoutSecrets(text.slice(0, 4 * MAX_TEXT)), names), MAX_TEXT);
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most).toWellFormed()}…`;
}
