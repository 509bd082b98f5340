// What the queue seals about a message besides its content: the record, which stays as it was when the
// message came, and the note, which changes with its attempts. Both are JSON, in UTF-8.

import { Buffer } from "node:buffer";
import type { Account } from "../accounts/account.ts";
import { BACKEND_NAMES, type BackendNames, isBackendName } from "../backend_name.ts";
import type { SendingProgress } from "../delivery/delivery.ts";
import { CREDENTIAL_NAMES } from "../entra/app_credentials.ts";
import { asBuffer } from "../octets.ts";
import { Secret } from "../secret.ts";
import type { Envelope, SessionFacts } from "../smtp/effects.ts";
import { type Sealer, SealError } from "./sealing.ts";

const VERSION = 1;
/** UTF-16 code units. */
const MAX_DETAIL = 1000;
/** Octets of a note before sealing: sealed it has 4 KiB at most, which each store has room for. */
const MAX_NOTE = 4000;

export interface QueueRecord {
  /** `report`: a non-delivery report that the relay itself has made; it never causes another one. */
  readonly kind: "message" | "report";
  readonly envelope: Envelope;
  readonly account: Account;
  /** The username of its login, as it may be shown. */
  readonly username: string;
  /** As in its submission. */
  readonly messageId?: string;
  readonly facts: SessionFacts;
  /** The client's IP address. */
  readonly client: string;
  /** The name of its connection. */
  readonly connection: string;
  readonly credential: StoredCredential;
}

/** What gets the account's tokens. */
export type StoredCredential = StoredSecret | {
  /** One of the relay's own credentials, which the account names. */
  readonly type: "relay";
};

/** A client secret, which came from the client. */
export interface StoredSecret {
  readonly type: "secret";
  readonly secret: Secret;
  /** Whether Entra ID had verified it when the message came, within the last hour or so. */
  readonly verified: boolean;
}

export interface QueueNote {
  /** What the last failure said, for people. At most 1000 characters are kept. */
  readonly detail?: string;
  /** What finds the message in the mail service after its last request that may have sent it. */
  readonly sending?: SendingProgress;
  /** How many of its tries have failed. */
  readonly failures?: number;
  /** How often the mailbox was asked whether the message is there. */
  readonly asked?: number;
  /** Not before it is asked again, in milliseconds of Unix time. */
  readonly askAt?: number;
  /** When the first request that may have sent it began, in milliseconds of Unix time. */
  readonly firstAttempt?: number;
  /** Whether a request that may have sent it ended without a result. */
  readonly doubt?: boolean;
  /** Whether it was held or given up: if it is tried again, an administrator has decided so. */
  readonly aside?: boolean;
  /** When it was tried again then, in milliseconds of Unix time: from then on its age counts. */
  readonly restarted?: number;
  /** Whether its sender has got a non-delivery report, or might have. */
  readonly reported?: boolean;
  /** The recipients, for whom the mail service has accepted it, by their places in the envelope: see served.ts. */
  readonly served?: string;
}

/** @param id of the message; a record opens with it alone */
export function sealRecord(sealer: Sealer, id: string, record: QueueRecord): Uint8Array {
  const { credential, ...rest } = record;
  const stored = credential.type === "secret"
    ? { ...credential, secret: credential.secret.reveal() }
    : credential;
  const json = { version: VERSION, ...rest, credential: stored };
  return sealer.seal(encoded(json), `record ${id}`);
}

/** @throws SealError */
export function openRecord(sealer: Sealer, id: string, sealed: Uint8Array): QueueRecord {
  const fields = new Fields(decoded(sealer.open(sealed, `record ${id}`)), "record");
  fields.version();
  const envelope = fields.object("envelope");
  const facts = fields.object("facts");
  return {
    kind: fields.oneOf("kind", ["message", "report"]),
    envelope: { from: envelope.text("from"), recipients: envelope.texts("recipients") },
    account: accountIn(fields.object("account")),
    username: fields.text("username"),
    ...fields.optional("messageId", () => fields.text("messageId")),
    facts: {
      helo: facts.text("helo"),
      esmtp: facts.yes("esmtp"),
      tls: facts.yes("tls"),
      smtputf8: facts.yes("smtputf8"),
      ...facts.optional("trusted", () => facts.oneOf("trusted", [true])),
    },
    client: fields.text("client"),
    connection: fields.text("connection"),
    credential: credentialIn(fields.object("credential")),
  };
}

function credentialIn(fields: Fields): StoredCredential {
  const type = fields.oneOf("type", ["secret", "relay"]);
  if (type === "relay") return { type };
  return { type, secret: new Secret(fields.text("secret")), verified: fields.yes("verified") };
}

/** @param id of the message; a note opens with it alone */
export function sealNote(sealer: Sealer, id: string, note: QueueNote): Uint8Array {
  const { detail, ...rest } = note;
  const json = { version: VERSION, ...rest };
  if (detail === undefined) return sealer.seal(encoded(json), `note ${id}`);
  let octets: Uint8Array;
  let length = MAX_DETAIL;
  do {
    octets = encoded({ ...json, detail: detail.slice(0, length) });
    length -= 50;
  } while (octets.length > MAX_NOTE && length >= 0);
  return sealer.seal(octets, `note ${id}`);
}

/**
 * @param sealed may be empty: there is no note yet
 * @throws SealError
 */
export function openNote(sealer: Sealer, id: string, sealed: Uint8Array): QueueNote {
  if (sealed.length === 0) return {};
  const fields = new Fields(decoded(sealer.open(sealed, `note ${id}`)), "note");
  fields.version();
  return {
    ...fields.optional("detail", () => fields.text("detail")),
    ...fields.optional("sending", () => sendingIn(fields.object("sending"))),
    ...fields.optional("failures", () => fields.count("failures")),
    ...fields.optional("asked", () => fields.count("asked")),
    ...fields.optional("askAt", () => fields.count("askAt")),
    ...fields.optional("firstAttempt", () => fields.count("firstAttempt")),
    ...fields.optional("doubt", () => fields.yes("doubt")),
    ...fields.optional("aside", () => fields.yes("aside")),
    ...fields.optional("restarted", () => fields.count("restarted")),
    ...fields.optional("reported", () => fields.yes("reported")),
    ...fields.optional("served", () => fields.text("served")),
  };
}

function sendingIn(fields: Fields): SendingProgress {
  return {
    mailbox: fields.text("mailbox"),
    ...fields.optional("messageId", () => fields.text("messageId")),
    ...fields.optional("draft", () => fields.text("draft")),
    ...fields.optional("backend", () => fields.oneOf("backend", BACKEND_NAMES)),
  };
}

function accountIn(fields: Fields): Account {
  const text = <Name extends string>(name: Name) => fields.optional(name, () => fields.text(name));
  return {
    tenantId: fields.text("tenantId"),
    clientId: fields.text("clientId"),
    ...fields.optional("entry", () => {
      const entry = fields.object("entry");
      return { id: entry.text("id"), foundBy: entry.oneOf("foundBy", ["id", "client"]) };
    }),
    ...text("fromEmail"),
    ...text("fromName"),
    ...text("allowedSenders"),
    ...fields.optional("backends", () => backendsIn(fields.texts("backends"))),
    ...fields.optional("credential", () => fields.oneOf("credential", CREDENTIAL_NAMES)),
  };
}

function backendsIn(names: readonly string[]): BackendNames {
  const [first, ...rest] = names.filter(isBackendName);
  // Of a later version, or damaged: it must not go another way than it was meant to.
  if (first === undefined || rest.length + 1 !== names.length) {
    throw new SealError("version", "its back end is not known");
  }
  return [first, ...rest];
}

/** The fields of a JSON object. Each method throws a {@link SealError} if the field is another type. */
class Fields {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new SealError("version", `${path} is no object`);
    }
    this.#values = value as Record<string, unknown>;
    this.#path = path;
  }

  version(): void {
    if (this.#value("version") !== VERSION) {
      throw new SealError("version", "its version is another one");
    }
  }

  object(name: string): Fields {
    return new Fields(this.#value(name), `${this.#path}.${name}`);
  }

  text(name: string): string {
    const value = this.#value(name);
    if (typeof value !== "string") throw this.#wrong(name, "a text");
    return value;
  }

  /** One text or more. */
  texts(name: string): readonly string[] {
    const value = this.#value(name);
    const fits = Array.isArray(value) && value.length > 0 &&
      value.every((item) => typeof item === "string");
    if (!fits) throw this.#wrong(name, "a list of texts");
    return value;
  }

  yes(name: string): boolean {
    return this.oneOf(name, [true, false]);
  }

  count(name: string): number {
    const value = this.#value(name);
    if (!Number.isSafeInteger(value) || value as number < 0) throw this.#wrong(name, "a count");
    return value as number;
  }

  oneOf<const T>(name: string, values: readonly T[]): T {
    const value = this.#value(name);
    if (!values.includes(value as T)) throw this.#wrong(name, "a known value");
    return value as T;
  }

  /** An object with the field, or an empty one if it is left out. */
  optional<Name extends string, T>(name: Name, read: () => T): { [N in Name]?: T } {
    return this.#value(name) === undefined ? {} : { [name]: read() } as { [N in Name]: T };
  }

  #value(name: string): unknown {
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }

  #wrong(name: string, expected: string): SealError {
    return new SealError("version", `${this.#path}.${name} is not ${expected}`);
  }
}

function encoded(json: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(json), "utf8");
}

function decoded(octets: Uint8Array): unknown {
  try {
    return JSON.parse(asBuffer(octets).toString("utf8"));
  } catch {
    throw new SealError("version", "it is no JSON");
  }
}
