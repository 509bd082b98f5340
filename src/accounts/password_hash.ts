// The hash of a device's own password, as the lookup's columns password_hash and password_hash_next hold it: a
// PHC string. https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md

import { Buffer } from "node:buffer";

/** Of a password that a person has chosen: scrypt (RFC 7914) makes each guess costly. */
export interface ScryptHash {
  readonly type: "scrypt";
  readonly salt: Uint8Array;
  /** 32 octets. */
  readonly hash: Uint8Array;
}

/** Of a made password with 128 bits of chance or more, which cannot be guessed: SHA-256(salt, password). */
export interface Sha256Hash {
  readonly type: "sha256";
  readonly salt: Uint8Array;
  /** 32 octets. */
  readonly hash: Uint8Array;
}

export type PasswordHash = ScryptHash | Sha256Hash;

/**
 * The one cost that is allowed: N = 2^14 takes 16 MiB. With several, the time that a login takes would tell
 * which ids exist.
 */
export const SCRYPT_COST = { N: 2 ** 14, r: 8, p: 1 } as const;
/** Octets. */
export const HASH_LENGTH = 32;

export const PASSWORD_HASH_FORM =
  "$scrypt$ln=14,r=8,p=1$SALT$HASH or $sha256$SALT$HASH, as lookup set-password makes it";

/** Octets. */
const SALT = { least: 8, most: 64 } as const;
const FORM = /^\$(scrypt\$ln=14,r=8,p=1|sha256)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

/** @returns undefined for a text that has not the {@link PASSWORD_HASH_FORM} */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const [, method, salt, hash] = FORM.exec(text) ?? [];
  if (method === undefined || salt === undefined || hash === undefined) return undefined;
  const saltOctets = unpadded(salt);
  const hashOctets = unpadded(hash);
  if (saltOctets === undefined || hashOctets?.length !== HASH_LENGTH) return undefined;
  if (saltOctets.length < SALT.least || saltOctets.length > SALT.most) return undefined;
  return { type: method === "sha256" ? "sha256" : "scrypt", salt: saltOctets, hash: hashOctets };
}

export function formatPasswordHash({ type, salt, hash }: PasswordHash): string {
  const method = type === "scrypt" ? "scrypt$ln=14,r=8,p=1" : type;
  return `$${method}$${base64(salt)}$${base64(hash)}`;
}

/** Base64 without padding; undefined for a spelling that is not the only one of its octets. */
function unpadded(text: string): Uint8Array | undefined {
  const octets = Buffer.from(text, "base64");
  return base64(octets) === text ? octets : undefined;
}

function base64(octets: Uint8Array): string {
  return Buffer.from(octets).toString("base64").replace(/=+$/, "");
}
