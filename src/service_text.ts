// Makes a service's code and message fit for replies, the log and `check`: the code a word, the
// message one line without credentials. A service or a proxy may echo the request with its token or
// secret (CWE-209, CWE-532).

const REDACTED = "[redacted]";
/** Exchange's longest code has 49 characters. */
const CODE = /^[A-Za-z0-9_.-]{1,64}$/;
/** Characters of a service's message that are read, and shown. */
const MAX_READ = 16 * 1024;
const MAX_WORDS = 500;
/** Characters by which a credential is recognized; a shorter one must occur whole. */
const TELLING = 8;
/** Shorter texts are not credentials: to hide them would hide half of every message. */
const SHORTEST = 4;

/**
 * A service's error code.
 *
 * @param sent credentials that were in the request
 * @returns undefined if it cannot be a code: use the response's status instead
 */
export function serviceCode(code: unknown, sent: readonly string[] = []): string | undefined {
  return typeof code === "string" && CODE.test(code) && withoutCredentials(code, sent) === code
    ? code
    : undefined;
}

/**
 * A service's message, in one line of bounded length.
 *
 * @param sent as for {@link serviceCode}
 * @returns undefined if it is empty
 */
export function serviceWords(text: unknown, sent: readonly string[] = []): string | undefined {
  if (typeof text !== "string") return undefined;
  const words = withoutCredentials(text.slice(0, MAX_READ), sent).replace(/\s+/g, " ").trim();
  if (words === "") return undefined;
  return words.length > MAX_WORDS ? `${words.slice(0, MAX_WORDS).toWellFormed()}…` : words;
}

/**
 * Replaces all credentials in the text: those that were sent, and everything that looks like one.
 *
 * @param sent as for {@link serviceCode}
 */
export function withoutCredentials(text: string, sent: readonly string[] = []): string {
  let hidden = text;
  for (const credential of sent) {
    if (credential.length < SHORTEST) continue;
    for (
      const form of new Set(formsOf(credential))
    ) {
      hidden = without(hidden, form);
    }
  }
  for (const [pattern, replacement] of LOOKS) hidden = hidden.replace(pattern, replacement);
  return hidden.replace(OPAQUE, (run) => /\d/.test(run) && /[A-Za-z]/.test(run) ? REDACTED : run);
}

const SECRETS =
  "client_?secret|client_?assertion|(?:access|refresh|id|auth|sas)_?token|assertion|" +
  "password|passwd|pwd|account_?key|shared_?access_?(?:key|signature)|api_?key|sig|signature|secret";
/** Up to the end of the word; a backslash stays, so that JSON stays valid. */
const VALUE = `\\\\?["']?[^\\s"'\\\\&,;<>{}]+`;
/** Words after a scheme's name that are not its value. */
const NO_VALUE =
  "tokens?|auth\\w*|access|scheme|challenge|realm|resource|error\\w*|is|was|in|header|or|" +
  "and|for|of|from|with|to|not|sig=";

/** In the order of their use. Each takes linear time. */
const LOOKS: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // A value of Authorization (RFC 9110 §11.4).
  [
    new RegExp(
      "\\b(Bearer|Basic|PoP|Negotiate|NTLM|SharedKey(?:Lite)?|SharedAccessSignature)" +
        `(?:\\s+|\\s*[:=]\\s*|%20|\\+)(?!(?:${NO_VALUE})\\b)${VALUE}`,
      "gi",
    ),
    `$1 ${REDACTED}`,
  ],
  // A form, a query or a connection string; JSON; a header field.
  [new RegExp(`\\b(${SECRETS})(=|%3D)${VALUE}`, "gi"), `$1$2${REDACTED}`],
  [
    new RegExp(
      `(\\\\?["'])(${SECRETS})\\1(\\s*:\\s*)(\\\\?["'])(?:\\\\[^"']|[^"'\\\\])*`,
      "gi",
    ),
    `$1$2$1$3$4${REDACTED}`,
  ],
  [
    new RegExp(`\\b(client_secret|client_assertion|authorization)\\s*:\\s*${VALUE}`, "gi"),
    `$1: ${REDACTED}`,
  ],
  // A JSON Web Token, or the beginning of one (RFC 7519): `{"` in base64url.
  [/(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*/g, REDACTED],
  // Entra ID's client secrets have a tilde at about their fourth character.
  [/(?<![A-Za-z0-9_.~-])(?=[A-Za-z0-9_.-]{0,12}~)[A-Za-z0-9_.~-]{30,}/g, REDACTED],
];

/** Keys, signatures and item ids: letters and digits, longer than a UUID. */
const OPAQUE = /[A-Za-z0-9_~+-]{40,}={0,2}/g;

/** Replaces every word from the credential's beginning on. */
function without(text: string, credential: string): string {
  const telling = credential.length < 2 * TELLING ? credential : credential.slice(0, TELLING);
  let found = text.indexOf(telling);
  if (found < 0) return text;
  let hidden = "";
  let at = 0;
  for (; found >= 0; found = text.indexOf(telling, at)) {
    hidden += text.slice(at, found) + REDACTED;
    at = found + (text.startsWith(credential, found) ? credential.length : telling.length);
    while (at < text.length && !isDelimiter(text[at]!)) at++;
  }
  return hidden + text.slice(at);
}

function isDelimiter(character: string): boolean {
  return /[\s"'\\&,;<>(){}]/.test(character);
}

/** As it is, in a URL, and in `application/x-www-form-urlencoded`. */
function formsOf(credential: string): readonly string[] {
  const form = new URLSearchParams([["", credential]]).toString().slice(1);
  return [credential, encodeURIComponent(credential.toWellFormed()), form];
}

/** An address of mail: its local part may be quoted, its domain an address literal (RFC 5321 §4.1.2). */
const ADDRESS = new RegExp(
  `(?:"(?:[^"\\\\]|\\\\.){1,64}"|[^\\s<>"'(),;:[\\]][^\\s<>"(),;:[\\]]{0,319})` +
    `@(?:\\[[^\\]\\s]{1,64}\\]|[^\\s<>"'(),;:[\\]]{1,320})`,
  "g",
);

/**
 * Replaces each address in a service's or the relay's words, which may quote a recipient.
 *
 * @param kept addresses that are shown anyway, such as the sender
 */
export function withoutAddresses(text: string, kept: readonly string[] = []): string {
  if (!text.includes("@")) return text;
  const known = new Set(kept.map((address) => address.toLowerCase()));
  return text.replace(
    ADDRESS,
    (found) => known.has(found.toLowerCase()) || FORMS.has(found) ? found : "[address]",
  );
}

/** Forms of a username that the relay's own texts name. */
const FORMS: ReadonlySet<string> = new Set(["tenant@client", "id@lookup", "TENANT_ID@CLIENT_ID"]);
