// The JSON Schema of LOOKUP_FILE, docs/lookup.schema.json, for editors and for programs that write the file.
// `bun scripts/docs.ts` writes it. It has every rule that one entry can break by itself; whether the relay
// uses an entry, src/accounts/entry.ts decides.

import { type ColumnName, COLUMNS } from "../src/accounts/entry.ts";
import { BACKEND_NAMES } from "../src/backend_name.ts";
import { CREDENTIAL_NAMES } from "../src/entra/app_credentials.ts";

const UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";
const SHORT_ID = "[A-Za-z0-9_+/-]{22}={0,2}";
const LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const SENDER = "([^,@\\s*][^,@]*)?@[^,@\\s]+";
const HASH = "^\\$(scrypt\\$ln=14,r=8,p=1|sha256)\\$[A-Za-z0-9+/]{11,86}\\$[A-Za-z0-9+/]{43}$";

/** In any case; a program writes them as they are here. */
const BACKENDS = BACKEND_NAMES.join("|");

/** Each column's schema, without what is allowed in words. */
const FORMS: Readonly<Record<ColumnName, object>> = {
  tenant_id: { type: "string", pattern: `^(${UUID}|${SHORT_ID}|${LABEL}(\\.${LABEL})+)$` },
  client_id: { type: "string", pattern: `^(${UUID}|${SHORT_ID})$` },
  from_email: { type: "string", pattern: "^[^\\s@].*@[^@\\s]+$|^[^\\s@]+@[^@\\s]+$" },
  from_name: {
    type: "string",
    maxLength: 256,
    pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f\\ufffd]*$",
  },
  allowed_senders: { type: "string", pattern: `^\\s*${SENDER}(\\s*,\\s*${SENDER})*\\s*,?\\s*$` },
  disabled: { enum: [true, false, "true", "false"] },
  backend: {
    type: "string",
    pattern: `^\\s*(${BACKENDS})(\\s*,\\s*(${BACKENDS}))*\\s*,?\\s*$`,
  },
  password_hash: { type: "string", pattern: HASH },
  password_hash_next: { type: "string", pattern: HASH },
  credential: { enum: CREDENTIAL_NAMES },
};

/** Their names in another spelling would allow what is meant to be blocked, so that they are mistakes. */
const DECISIVE: readonly ColumnName[] = [
  ...(["tenant_id", "client_id", "allowed_senders", "disabled"] as const),
  ...(["password_hash", "password_hash_next", "credential"] as const),
];

const HASHES = [{ required: ["password_hash"] }, { required: ["password_hash_next"] }];

export function lookupSchema(): string {
  return JSON.stringify(SCHEMA, null, 2) + "\n";
}

const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "LOOKUP_FILE of smtp-oauth-relay",
  description: "Entries by id: the id in the username id@lookup, or a device's whole username.",
  type: "object",
  properties: { $schema: { type: "string" } },
  // Of a key of an Azure table: an entry can move there.
  propertyNames: { pattern: "^[^/\\\\#?\\u0000-\\u001f\\u007f-\\u009f]+$", maxLength: 1024 },
  additionalProperties: { $ref: "#/$defs/entry" },
  $defs: {
    entry: {
      type: "object",
      properties: {
        ...Object.fromEntries(
          (Object.keys(COLUMNS) as ColumnName[]).map((name) => [
            name,
            { description: sentence(COLUMNS[name].allowed), ...FORMS[name] },
          ]),
        ),
        description: { type: "string", description: "A note, which the relay ignores" },
      },
      patternProperties: Object.fromEntries(
        DECISIVE.map((name) => [`^(?!${name}$)${anySpelling(name)}$`, false]),
      ),
      // Of a disabled entry, no other column is read.
      if: { properties: { disabled: { enum: [true, "true"] } }, required: ["disabled"] },
      else: {
        required: ["tenant_id", "client_id"],
        if: { anyOf: HASHES },
        then: {
          required: ["credential"],
          anyOf: [{ required: ["from_email"] }, { required: ["allowed_senders"] }],
        },
        else: { not: { required: ["credential"] } },
      },
    },
  },
};

function sentence(words: string): string {
  return words[0]!.toUpperCase() + words.slice(1);
}

/** In any case, with or without hyphens, underscores and spaces. */
function anySpelling(name: string): string {
  const letters = [...name.replaceAll("_", "")];
  const between = "[-_ ]*";
  return between + letters.map((one) => `[${one.toUpperCase()}${one}]${between}`).join("");
}
