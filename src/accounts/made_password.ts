// Makes passwords for devices, and the hashes of passwords as the lookup stores them.

import { createHash, randomBytes, randomInt, scrypt } from "node:crypto";
import { formatPasswordHash, HASH_LENGTH, SCRYPT_COST } from "./password_hash.ts";

/**
 * Letters and digits that a printer's panel has, without those that look alike on paper: 0 O o, 1 l I i,
 * 2 Z z, 5 S s, 6 G b, 8 B, 9 g q; and, of the letters whose capital differs in size alone, the capital. The
 * digits of these groups stay, except for 0 and 1. 24 of 41 characters are 128.5 bits.
 */
export const ALPHABET = "23456789ACDEFHJKLMNPQRTUVWXYadefhjkmnprty";
export const STANDARD_LENGTH = 24;
/** A device may take no more than this; such a password is hashed as one that was chosen. */
export const LEAST_LENGTH = 20;
export const MOST_LENGTH = 128;
/** Bits of chance at which a password cannot be guessed, however quick its hash is. */
const SAFE_BITS = 128;
/** Octets. */
const SALT = 16;

/** @param length characters */
export function makePassword(length: number): string {
  return Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
}

/** Whether it has the form of a made password. A client secret of Entra ID's making has other characters too. */
export function isMade(password: string): boolean {
  return MADE.test(password);
}

const MADE = new RegExp(`^[${ALPHABET}]{${LEAST_LENGTH},${MOST_LENGTH}}$`);

/** Bits of chance of a made password. */
export function bitsOf(length: number): number {
  return length * Math.log2(ALPHABET.length);
}

/**
 * The text for the column password_hash.
 *
 * @param bits of chance that the password is known to have; 0 for one that a person has chosen
 */
export async function hashOf(password: string, bits: number): Promise<string> {
  const salt = randomBytes(SALT);
  if (bits >= SAFE_BITS) {
    const hash = createHash("sha256").update(salt).update(password, "utf8").digest();
    return formatPasswordHash({ type: "sha256", salt, hash });
  }
  const hash = await derive(password, salt);
  return formatPasswordHash({ type: "scrypt", salt, hash });
}

function derive(password: string, salt: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_LENGTH, SCRYPT_COST, (error, hash) => {
      if (error) reject(error);
      else resolve(hash);
    });
  });
}
